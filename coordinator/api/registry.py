"""The service `coordinator.v1.Registry`: services and instances, for programs without a client library."""

from __future__ import annotations

from coordinator.api import registry_writes as writes
from coordinator.api import render
from coordinator.api.convert import Converter
from coordinator.api.registry_checks import judge_checks
from coordinator.api.registry_messages import definition_of, naming_fields, status_of
from coordinator.api.registry_reads import RegistryReads
from coordinator.api.registry_sessions import InstanceSessions
from coordinator.api.registry_writes import RegistryWrites, Written
from coordinator.catalog.catalog import Catalog
from coordinator.catalog.definitions import checks_prefix, definition_key, encode_state, state_key
from coordinator.errors import RequestError, Status
from coordinator.node.interface import Node
from coordinator.rpc import Bidi, Call, Service, Unary, deadline_of, invalid
from coordinator.state.commands import Put, RequestId, Selector
from coordinator.state.results import DeleteResult
from coordinator.state.view import with_prefix
from coordinator_client.pb import kv_pb2, registry_pb2


class RegistryService:
    """Registers, changes, lists and watches instances."""

    def __init__(self, node: Node, catalog: Catalog) -> None:
        self._node = node
        self._convert = Converter(node.limits)
        self._sessions = InstanceSessions(node)
        self._writes = RegistryWrites(node)
        self._reads = RegistryReads(node, catalog)

    def service(self) -> Service:
        """Returns the methods for a host."""
        pb, reads = registry_pb2, self._reads
        return Service(
            "coordinator.v1.Registry",
            (
                Unary("Register", pb.RegisterRequest, pb.RegisterResponse, self.register),
                Unary("Deregister", pb.DeregisterRequest, pb.DeregisterResponse, self.deregister),
                Unary("SetState", pb.SetStateRequest, pb.SetStateResponse, self.set_state),
                Unary("List", pb.RegistryListRequest, pb.RegistryListResponse, reads.list),
                Bidi("Watch", pb.RegistryWatchRequest, pb.RegistryWatchResponse, reads.watch),
            ),
        )

    def _deadline(self, call: Call) -> float:
        return deadline_of(call, self._node.timing.request_timeout_ms_default / 1000)

    def _put(self, key: bytes, value: bytes, session: int) -> Put:
        return self._convert.put(kv_pb2.PutRequest(key=key, value=value, session=session))

    async def register(
        self, call: Call, request: registry_pb2.RegisterRequest
    ) -> registry_pb2.RegisterResponse:
        """Writes definition and state of an instance under a session of the caller's, or under a new one."""
        self._convert.check_size(request)
        request_id = self._convert.request_id(request, request.request)
        _check_session_fields(request, request_id)
        instance = request.instance
        with naming_fields("instance."):
            value = definition_of(instance)
            judge_checks(instance.checks, instance.address, instance.port, self._node.limits)
            definition = self._put(definition_key(instance.service, instance.id), value, 0)
            said = encode_state(status_of(instance.state, "passing"), instance.note)
            state = self._put(state_key(instance.service, instance.id), said, 0)
        pb = registry_pb2.RegisterResponse
        if request.session:
            written = await self._register(call, request, definition, state, request_id)
            header = render.header(self._node, written.revision)
            return pb(header=header, session=request.session)
        async with self._sessions.opened(call, request) as session:
            request.session = session
            written = await self._register(call, request, definition, state, None)
        header = render.header(self._node, written.revision)
        return pb(header=header, session=session, ttl_ms=request.ttl_ms)

    async def _register(
        self,
        call: Call,
        request: registry_pb2.RegisterRequest,
        definition: Put,
        state: Put,
        request_id: RequestId | None,
    ) -> Written:
        """Writes both keys under the session of the request."""
        deadline = self._deadline(call)
        definition, state = (
            self._put(put.key, put.value, request.session) for put in (definition, state)
        )
        if not request.keep_state:
            return await self._writes.run(
                writes.registration(definition, state), request_id, deadline
            )
        keeping = writes.registration_keeping_state(definition, state)
        written = await self._writes.run_dependent(keeping, request_id, deadline)
        assert written is not None
        return written

    async def deregister(
        self, call: Call, request: registry_pb2.DeregisterRequest
    ) -> registry_pb2.DeregisterResponse:
        """Removes an instance with all that belongs to it."""
        self._convert.check_size(request)
        request_id = self._convert.request_id(request, request.request)
        if request.session < 0:
            raise invalid("session", "is negative")
        with naming_fields():
            definition = definition_key(request.service, request.id)
            state = state_key(request.service, request.id)
            checks = checks_prefix(request.service, request.id)
        others = (Selector(state), with_prefix(checks))
        txn = writes.removal(definition, others, request.session)
        written = await self._writes.run(txn, request_id, self._deadline(call))
        if not written.result.succeeded:
            (found,) = written.found
            if found is None:
                raise _not_found(request.service, request.id)
            raise RequestError(
                Status.FAILED_PRECONDITION,
                "SESSION_MISMATCH",
                f"the instance belongs to session {found.session}, not to {request.session}",
                {"session": str(found.session), "applied": "no"},
            )
        removed = written.result.responses[0]
        assert isinstance(removed, DeleteResult)
        return registry_pb2.DeregisterResponse(
            header=render.header(self._node, written.revision), session=removed.prevs[0].session
        )

    async def set_state(
        self, call: Call, request: registry_pb2.SetStateRequest
    ) -> registry_pb2.SetStateResponse:
        """Writes the state of an instance under the session that holds its definition."""
        self._convert.check_size(request)
        request_id = self._convert.request_id(request, request.request)
        with naming_fields():
            definition = definition_key(request.service, request.id)
            state = state_key(request.service, request.id)
            status = status_of(request.state)
            self._put(state, encode_state(status, request.note), 0)
        write = writes.change_of_state(definition, state, status, request.note)
        written = await self._writes.run_dependent(write, request_id, self._deadline(call))
        if written is None:
            raise _not_found(request.service, request.id)
        return registry_pb2.SetStateResponse(header=render.header(self._node, written.revision))


def _check_session_fields(
    request: registry_pb2.RegisterRequest, request_id: RequestId | None
) -> None:
    if request.session < 0:
        raise invalid("session", "is negative")
    if request.session and request.ttl_ms:
        raise invalid("session", "session and ttl_ms exclude each other")
    if not request.session and not request.ttl_ms:
        raise invalid("session", "is missing: name one, or set ttl_ms to have one opened")
    if request.session and request.HasField("disconnect_grace_ms"):
        raise invalid("disconnect_grace_ms", "is only for a session that ttl_ms opens")
    if request_id is not None and not request.session:
        raise invalid("request", "is only for a registration under a session of the caller's")


def _not_found(service: str, id: str) -> RequestError:
    return RequestError(
        Status.NOT_FOUND,
        "INSTANCE_NOT_FOUND",
        f"service {service} has no instance {id}",
        {"service": service, "id": id, "applied": "no"},
    )
