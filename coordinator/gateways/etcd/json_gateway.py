"""etcd's JSON gateway: each method of the gRPC services has a path, to which JSON is posted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web

from coordinator.errors import RequestError
from coordinator.gateways.etcd.json_calls import (
    JsonCall,
    JsonStream,
    failure,
    read_message,
    to_json,
)
from coordinator.gateways.etcd.versions import CLUSTER_VERSION, ETCD_VERSION
from coordinator.http.listener import HttpListener, Route
from coordinator.node.interface import Node
from coordinator.rpc import Bidi, Service, Unary

PREFIXES = ("/v3", "/v3beta")

PATHS: dict[str, dict[str, tuple[str, ...]]] = {
    "etcdserverpb.KV": {
        "Range": ("kv/range",),
        "Put": ("kv/put",),
        "DeleteRange": ("kv/deleterange",),
        "Txn": ("kv/txn",),
        "Compact": ("kv/compaction",),
    },
    "etcdserverpb.Watch": {"Watch": ("watch",)},
    "etcdserverpb.Lease": {
        "LeaseGrant": ("lease/grant",),
        "LeaseRevoke": ("lease/revoke", "kv/lease/revoke"),
        "LeaseKeepAlive": ("lease/keepalive",),
        "LeaseTimeToLive": ("lease/timetolive", "kv/lease/timetolive"),
        "LeaseLeases": ("lease/leases", "kv/lease/leases"),
    },
    "etcdserverpb.Cluster": {
        "MemberAdd": ("cluster/member/add",),
        "MemberRemove": ("cluster/member/remove",),
        "MemberUpdate": ("cluster/member/update",),
        "MemberList": ("cluster/member/list",),
        "MemberPromote": ("cluster/member/promote",),
    },
    "etcdserverpb.Maintenance": {
        "Alarm": ("maintenance/alarm",),
        "Status": ("maintenance/status",),
        "Defragment": ("maintenance/defragment",),
        "Hash": ("maintenance/hash",),
        "HashKV": ("maintenance/hashkv",),
        "Snapshot": ("maintenance/snapshot",),
        "MoveLeader": ("maintenance/transfer-leadership",),
    },
    "etcdserverpb.Auth": {
        "AuthEnable": ("auth/enable",),
        "AuthDisable": ("auth/disable",),
        "AuthStatus": ("auth/status",),
        "Authenticate": ("auth/authenticate",),
        "UserAdd": ("auth/user/add",),
        "UserGet": ("auth/user/get",),
        "UserList": ("auth/user/list",),
        "UserDelete": ("auth/user/delete",),
        "UserChangePassword": ("auth/user/changepw",),
        "UserGrantRole": ("auth/user/grant",),
        "UserRevokeRole": ("auth/user/revoke",),
        "RoleAdd": ("auth/role/add",),
        "RoleGet": ("auth/role/get",),
        "RoleList": ("auth/role/list",),
        "RoleDelete": ("auth/role/delete",),
        "RoleGrantPermission": ("auth/role/grant",),
        "RoleRevokePermission": ("auth/role/revoke",),
    },
    "v3lockpb.Lock": {"Lock": ("lock/lock",), "Unlock": ("lock/unlock",)},
    "v3electionpb.Election": {
        "Campaign": ("election/campaign",),
        "Proclaim": ("election/proclaim",),
        "Leader": ("election/leader",),
        "Observe": ("election/observe",),
        "Resign": ("election/resign",),
    },
}
"""Of each method: its paths below the prefixes."""


class JsonGateway:
    """Serves the methods of etcd's services over HTTP."""

    def __init__(self, node: Node, services: Sequence[Service]) -> None:
        self._node = node
        self._services = services

    def register(self, listener: HttpListener) -> None:
        """Registers all routes."""
        for service in self._services:
            paths = PATHS[service.name]
            for method in service.methods:
                answer = self._unary(method) if isinstance(method, Unary) else self._stream(method)
                for path in paths[method.name]:
                    for prefix in PREFIXES:
                        listener.route("POST", f"{prefix}/{path}", answer)
        listener.route("GET", "/version", self._version)
        listener.route("GET", "/health", self._health)

    def _unary(self, method: Unary) -> Route:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                message = read_message(await self._body_of(request), method.request)
                response = await method.call(JsonCall(request), message)
            except RequestError as error:
                return failure(error)
            return web.json_response(to_json(response, method.response))

        return answer

    async def _body_of(self, request: web.Request) -> bytes:
        """Returns what a client sent. Raises HTTPRequestTimeout if it takes too long."""
        try:
            async with asyncio.timeout(self._node.timing.http_request_ms / 1000):
                return await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None

    def _stream(self, method: Bidi) -> Route:
        size_max = self._node.limits.request_size_bytes_max * 2

        async def answer(request: web.Request) -> web.StreamResponse:
            stream = JsonStream(request, (method.request, method.response), size_max)
            try:
                await method.call(stream)
            except RequestError as error:
                return await stream.finish(error)
            except BaseExceptionGroup as group:
                return await stream.finish(_only_request_error(group))
            return await stream.finish(None)

        return answer

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"etcdserver": ETCD_VERSION, "etcdcluster": CLUSTER_VERSION})

    async def _health(self, request: web.Request) -> web.Response:
        """Well is a member that knows a leader and has no alarm."""
        reason = ""
        if self._node.consensus_status.leader is None:
            reason = "RAFT NO LEADER"
        elif alarms := self._node.alarms():
            reason = "; ".join(alarm.message for alarm in alarms)
        body = {"health": "false" if reason else "true", "reason": reason}
        return web.json_response(body, status=503 if reason else 200)


def _only_request_error(group: BaseExceptionGroup[BaseException]) -> RequestError:
    """Returns the error with which a task group ended a call on purpose; raises any other group."""
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    if not isinstance(inner, RequestError):
        raise group
    return inner
