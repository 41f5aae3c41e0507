"""The client: everything that can be asked of a cluster."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from coordinator_client import _io_async as io
from coordinator_client import calls, errors, model, validation
from coordinator_client import instances as layout
from coordinator_client._async.administration import Administration
from coordinator_client._async.barrier import Barrier, DoubleBarrier
from coordinator_client._async.cache import Cache
from coordinator_client._async.connection import Connection
from coordinator_client._async.coordination import Coordination
from coordinator_client._async.counter import Counter
from coordinator_client._async.discovery import KEEP_WAIT_S, ServiceView
from coordinator_client._async.keeper import ViewKeeper
from coordinator_client._async.numbered import NumberedWrites
from coordinator_client._async.proxies import read_settings, write_proxies
from coordinator_client._async.queues import PriorityQueue, Queue
from coordinator_client._async.registration import Registration
from coordinator_client._async.session import Session
from coordinator_client._async.states import write_state
from coordinator_client._async.writes import Writes
from coordinator_client.checks import Check, definitions_of
from coordinator_client.copies import CacheChange
from coordinator_client.instances import Instance, InstanceState
from coordinator_client.numbers import WINDOW_MAX
from coordinator_client.operations import owner_id
from coordinator_client.pb import cluster_pb2, registry_pb2, session_pb2
from coordinator_client.service_settings import make_proxies, read_proxies
from coordinator_client.stored_views import path_of
from coordinator_client.views import ServiceTable, accepting, read_instances


class Client(Coordination, Administration, io.Awaited):
    """A client of one cluster; made by `connect`.

    Use it as a context manager, or call `close`. It keeps to one endpoint as long as that serves and moves on to the
    next when it does not; calls go to the leader's once it is known to be one of the endpoints. They take at most
    `timeout_s` seconds, those of `connect` unless they are given their own.

    Writes are numbered under a session that the first one opens, so that they are sent again when an answer is lost and
    still apply once; `connect` can turn that off.

    Every call may raise Unavailable and InvalidArgument; every read DeadlineExceeded; every write OutcomeUnknown.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str],
        timeout_s: float,
        shuffle: bool,
        make_writes: Callable[[Connection], Writes] = Writes,
    ) -> None:
        connection = Connection(endpoints, timeout_s, shuffle)
        super().__init__(connection, make_writes(connection))

    def __repr__(self) -> str:
        state = "closed" if self._connection.closed else f"next at {self.endpoint}"
        return f"<{type(self).__name__} of {','.join(self.endpoints)}: {state}>"

    async def __aenter__(self) -> Self:
        self._connection.check_open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all connections. Sessions and registrations that were not closed end by their TTL.

        The session that numbered the client's writes is closed, if a node answers within a second.
        """
        try:
            await self._writes.close()
        finally:
            await self._connection.close()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The addresses that the client was given."""
        return self._connection.endpoints

    @property
    def endpoint(self) -> str:
        """The address that the next call goes to."""
        return self._connection.endpoint

    # --- sessions -------------------------------------------------------------------------------

    def session(
        self,
        ttl: float = 10.0,
        *,
        id: int | None = None,
        disconnect_grace: float | None = None,
        metadata: Mapping[str, str] | None = None,
        on_lost: Callable[[Session], None] | None = None,
    ) -> Session:
        """Returns a session: a context manager that opens it, keeps it alive and closes it.

        `ttl`: seconds it lives without a keep-alive. `id`: a number of your own. `disconnect_grace`: seconds it lives
        once its connection is lost. `on_lost`: called once, from the background, when it ended without being closed.
        """
        grace_ms = (
            None
            if disconnect_grace is None
            else calls.milliseconds(disconnect_grace, "disconnect_grace")
        )
        request = session_pb2.SessionOpenRequest(
            ttl_ms=calls.milliseconds(ttl, "ttl"),
            id=owner_id(id, "id"),
            disconnect_grace_ms=grace_ms,
            metadata=validation.pairs(metadata, "metadata"),
        )
        if on_lost is not None and not callable(on_lost):
            raise errors.InvalidArgument(f"on_lost is {validation.shown(on_lost)}, not a function")
        return Session(self._connection, request, on_lost, self._writes)

    async def sessions(self, *, local: bool = False) -> tuple[model.SessionRecord, ...]:
        """Returns all open sessions of the cluster, in ascending order of their ids."""
        found: list[model.SessionRecord] = []
        while True:
            request = session_pb2.SessionListRequest(
                local=validation.flag(local, "local"), start_after=found[-1].id if found else 0
            )
            reply = await self._connection.call(calls.SESSION_LIST, request, safe=True)
            found.extend(calls.session_record(record) for record in reply.sessions)
            if not reply.more or not reply.sessions:
                return tuple(found)

    async def get_session(self, id: int, *, local: bool = False) -> model.SessionRecord:
        """Returns a session and the keys it owns; raises SessionNotFound."""
        request = session_pb2.SessionGetRequest(
            id=owner_id(id, "id"), local=validation.flag(local, "local")
        )
        reply = await self._connection.call(calls.SESSION_GET, request, safe=True)
        return calls.session_record(reply.session, reply.keys)

    async def close_session(self, id: int) -> int:
        """Ends any session, by its id; returns how many keys went with it. Raises SessionNotFound."""
        request = session_pb2.SessionCloseRequest(id=owner_id(id, "id"))
        reply = await self._writes.call(calls.SESSION_CLOSE, request)
        return reply.deleted

    # --- services -------------------------------------------------------------------------------

    def register(
        self,
        service: str,
        address: str,
        port: int,
        *,
        id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        ttl: float = 10.0,
        disconnect_grace: float | None = 1.0,
        ports: Mapping[str, int] | None = None,
        protocols: Mapping[str, str] | None = None,
        tags: Sequence[str] = (),
        weight: int | None = None,
        zone: str | None = None,
        version: str | None = None,
        status: str = "passing",
        drain: float = 0.0,
        checks: Mapping[str, Check] | None = None,
    ) -> Registration:
        """Returns a registration: a context manager that registers an instance of a service and keeps it registered.

        Without `id`, one is made up. The instance goes when the block is left, `disconnect_grace` seconds after its
        connection broke because the program died (None: that does not count), or `ttl` seconds after it was heard of
        last. `drain`: seconds that it is listed as `draining` before it deregisters. `protocols`: of those of `ports`
        that are not TCP, by the same names. `checks`: what the cluster checks, by name (docs/health.md). See
        docs/registration.md for the meaning of the rest.
        """
        instance = Instance(
            service=service,
            id=id or f"{service}-{secrets.token_hex(6)}",
            address=address,
            port=port,
            metadata=validation.pairs(metadata, "metadata"),
            ports=ports or {},
            protocols=protocols or {},
            tags=validation.texts(tags, "tags"),
            weight=weight,
            zone=zone,
            version=version,
            state=InstanceState(status),
            check_definitions=definitions_of(checks),
        )

        def make_session(on_lost: Callable[[Session], None]) -> Session:
            return self.session(
                ttl,
                disconnect_grace=None if disconnect_grace is None else min(disconnect_grace, ttl),
                on_lost=on_lost,
                metadata={"service": service, "instance": instance.id},
            )

        # What is wrong with the length of a TTL is told here, too, before anything is sent.
        calls.milliseconds(ttl, "ttl")
        if disconnect_grace is not None:
            calls.milliseconds(disconnect_grace, "disconnect_grace")
        drain_s = validation.wait(drain, "drain")
        return Registration(self._connection, instance, make_session, drain_s)

    def discover(
        self,
        service: str,
        *,
        healthy: bool = False,
        tag: str | None = None,
        zone: str | None = None,
        proxies: bool = True,
        keep_in: str | os.PathLike[str] | None = None,
        keep_wait_s: float = KEEP_WAIT_S,
    ) -> ServiceView:
        """Returns a live view of a service's instances: a context manager that keeps itself current.

        `healthy`: only those that are passing or warning; if there are none, those that the cluster's guard keeps
        listed. `tag`, `zone`: only those with it. `proxies` False: the instances even if the service publishes proxies
        in their place.

        `keep_in`: a file that keeps what the view knows, for the next start of this program or another one: if no node
        can be reached within `keep_wait_s` seconds then, the view opens with what the file holds, and is `stale`.
        """
        watch = self.watch(layout.service_prefix(service), prefix=True, snapshot=True)
        table = ServiceTable(
            service,
            accepting(tag, zone),
            validation.flag(proxies, "proxies"),
            validation.flag(healthy, "healthy"),
        )
        keeper = None if keep_in is None else ViewKeeper(path_of(keep_in), table.service)
        return ServiceView(watch, table, keeper, validation.wait(keep_wait_s, "keep_wait_s"))

    async def instances(
        self, service: str, *, proxies: bool = True, local: bool = False
    ) -> tuple[Instance, ...]:
        """Returns the instances of a service as they are now, in order of registration; `proxies` as for `discover`."""
        prefix = layout.service_prefix(service)
        kvs = []
        async for kv in self.range_all(prefix, prefix=True, local=local):
            kvs.append(kv)
        return read_instances(service, kvs, validation.flag(proxies, "proxies"))

    async def set_instance_state(self, service: str, id: str, status: str, note: str = "") -> None:
        """Writes the state of an instance of another program: `draining`, `maintenance`, or `passing` again.

        Raises NotFound if there is no such instance.
        """
        state = InstanceState(status, note)
        await write_state(self._connection, self._writes, service, id, state)

    async def deregister(self, service: str, id: str) -> None:
        """Removes an instance of another program, as an operator: subscribers are told `Cause.DEREGISTERED`.

        Its program keeps its session and is not told. It registers again when that is lost, or when it is restarted.
        Raises NotFound if there is no such instance.
        """
        request = registry_pb2.DeregisterRequest(
            service=layout.validate_service(service), id=layout.validate_id(id)
        )
        await self._writes.call(calls.DEREGISTER, request)

    async def set_service_proxies(self, service: str, proxies: Sequence[str | Instance]) -> None:
        """Publishes proxies, which callers find in place of the service's instances; none: they find the instances.

        Each is host:port, or an `Instance` of the service if it is to have an id, tags, a weight and so on.
        """
        published = make_proxies(layout.validate_service(service), proxies)
        await write_proxies(self._connection, self._writes, service, published)

    async def service_proxies(self, service: str) -> tuple[Instance, ...]:
        """Returns the proxies that a service publishes."""
        return read_proxies(service, await read_settings(self._connection, service))

    async def services(self, *, local: bool = False) -> tuple[str, ...]:
        """Returns the names of all services that have keys, in ascending order."""
        return await self.children(layout.ROOT, local=local)

    # --- the cluster ----------------------------------------------------------------------------

    async def status(
        self, endpoint: str | None = None, *, digest: bool = False, timeout_s: float | None = None
    ) -> model.MemberStatus:
        """Returns the state of the member at `endpoint`; by default at the one in use."""
        request = cluster_pb2.StatusRequest(digest=validation.flag(digest, "digest"))
        if endpoint is None:
            endpoint = self.endpoint
        address = calls.parse_endpoint(endpoint)
        reply = await self._connection.call_endpoint(address, calls.STATUS, request, timeout_s)
        return calls.member_status(reply, address)

    # --- recipes: barriers, counters, queues, caches (docs/recipes.md) --------------------------

    def barrier(self, name: str) -> Barrier:
        """Returns a barrier that programs wait at until somebody opens it."""
        return Barrier(self, name)

    def double_barrier(self, name: str, count: int, *, ttl: float = 10.0) -> DoubleBarrier:
        """Returns one participant of a barrier that `count` programs enter together and leave together.

        `ttl`: seconds after which a participant that died does not count any more.
        """
        calls.milliseconds(ttl, "ttl")
        metadata = {"purpose": f"/double-barriers/{validation.name(name, 'barrier')}"}
        return DoubleBarrier(self, name, count, lambda: self.session(ttl, metadata=metadata))

    def counter(self, name: str) -> Counter:
        """Returns a number that many programs may add to."""
        return Counter(self, name, self._connection.timeout_s)

    def queue(self, name: str) -> Queue:
        """Returns a queue: first in, first out."""
        return Queue(self, name)

    def priority_queue(self, name: str) -> PriorityQueue:
        """Returns a queue in which the lowest priority comes first."""
        return PriorityQueue(self, name)

    def cache(
        self, prefix: str | bytes, *, on_change: Callable[[CacheChange], None] | None = None
    ) -> Cache:
        """Returns a live copy of all keys that start with `prefix`: a context manager that keeps itself current.

        `on_change`: called from the background with every change after the copy was filled.
        """
        if on_change is not None and not callable(on_change):
            raise errors.InvalidArgument(f"on_change is {validation.shown(on_change)}, no function")
        watch = self.watch(prefix, prefix=True, snapshot=True, progress=True)
        return Cache(watch, validation.to_bytes(prefix, "prefix"), on_change)


def connect(
    endpoints: str | Sequence[str],
    *,
    timeout_s: float = 5.0,
    shuffle: bool = True,
    numbered_writes: bool = True,
    request_window: int = 512,
    request_ttl_s: float = 60.0,
) -> Client:
    """Returns a client of the cluster at `endpoints`: host:port, several separated by commas, or a sequence.

    Connections are made when they are needed. `timeout_s`: how long a call may take, retries included.
    `shuffle`: begin with any of the endpoints, so that clients spread over the nodes; False: with the first.

    `numbered_writes`: number the writes under a session of their own, so that they can be sent again when an answer is
    lost and still apply once; False: a write whose answer is lost ends as OutcomeUnknown. `request_window`: how many
    numbers may be in use at once, 1 to 1024; further writes wait. `request_ttl_s`: the TTL of that session, in seconds.

    Raises InvalidArgument if an endpoint is malformed, or a number is out of its range.
    """
    ttl_s = validation.timeout(request_ttl_s, "request_ttl_s")
    window = validation.whole(request_window, "request_window", at_least=1)
    if window > WINDOW_MAX:
        raise errors.InvalidArgument(f"request_window is {window}, more than {WINDOW_MAX}")

    def make_writes(connection: Connection) -> Writes:
        return NumberedWrites(connection, ttl_s, window)

    numbered = validation.flag(numbered_writes, "numbered_writes")
    return Client(endpoints, timeout_s, shuffle, make_writes if numbered else Writes)
