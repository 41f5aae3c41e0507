"""What every method of etcd's API shares: its errors, the deadline of calls, and the wish for a leader."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from coordinator.errors import RequestError
from coordinator.gateways.etcd import errors
from coordinator.node.interface import Node
from coordinator.rpc import Bidi, Call, Service, Stream, Unary

REQUIRE_LEADER = "hasleader"
"""Metadata of a call that had rather fail than wait for a leader."""


def wants_leader(call: Call) -> bool:
    """Returns whether the client had rather have an error than an answer of a member that knows no leader."""
    return call.metadata.get(REQUIRE_LEADER) == "true"


def host(node: Node, service: Service) -> Service:
    """Returns a service whose methods end with etcd's errors, and at once where a leader is asked for and not known."""
    methods = tuple(
        Unary(m.name, m.request, m.response, _unary(node, m.call))
        if isinstance(m, Unary)
        else Bidi(m.name, m.request, m.response, _bidi(node, m.call))
        for m in service.methods
    )
    # The messages are etcd's, but under a name of our own, which means nothing to clients.
    return Service(service.name, methods, described=False)


def _check_leader(node: Node, call: Call) -> None:
    if node.consensus_status.leader is None and wants_leader(call):
        raise errors.no_leader()


def _unary(
    node: Node, method: Callable[[Call, Any], Awaitable[Any]]
) -> Callable[[Call, Any], Awaitable[Any]]:
    @functools.wraps(method)
    async def run(call: Call, request: Any) -> Any:
        _check_leader(node, call)
        try:
            return await method(call, request)
        except RequestError as error:
            raise errors.translate(error) from None

    return run


def _bidi(
    node: Node, method: Callable[[Stream[Any, Any]], Awaitable[None]]
) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
    @functools.wraps(method)
    async def run(stream: Stream[Any, Any]) -> None:
        _check_leader(node, stream)
        try:
            await method(stream)
        except RequestError as error:
            raise errors.translate(error) from None

    return run
