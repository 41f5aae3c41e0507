"""The composition root: puts one node together, starts it, drains it and stops it. Knows everyone; nobody knows it."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from coordinator import __version__
from coordinator.api.services import native_services
from coordinator.catalog.catalog import Catalog
from coordinator.catalog.guard import Guard
from coordinator.checks.runner import CheckRunner
from coordinator.config import Config
from coordinator.consensus.engine.member import Engine
from coordinator.consensus.settings import EngineConfig
from coordinator.gateways.dns.gateway import DnsGateway
from coordinator.gateways.etcd.gateway import EtcdGateway
from coordinator.gateways.etcd.json_gateway import JsonGateway
from coordinator.gateways.etcd.metrics import register_metrics
from coordinator.heap import Heap
from coordinator.http.listener import HttpListener
from coordinator.http.wellness import register_wellness
from coordinator.joining import Origin, find_origin
from coordinator.naming import split_address
from coordinator.node.member import MemberNode
from coordinator.wire.front.metrics import FrontCollector
from coordinator.wire.front.server import FrontServer
from coordinator.wire.grpc_aio import GrpcAioServer

HEALTH_PERIOD_S = 0.1
HAND_OVER_SHARE = 0.5
"""Of the time to drain: how long a leader that stops tries to hand over."""

STOP_EXCESS_S = 10.0
"""Beyond the time to drain: a node that stops has ended by then, whatever holds it up."""

log = structlog.get_logger()


def free_bytes(folder: str) -> int:
    """Returns what a process without privileges may still write where a folder lies. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


class Server:
    """One node with its listeners."""

    def __init__(self, config: Config, origin: Origin) -> None:
        self.config = config
        self._failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        limits, timing = config.limits, config.timing
        self.node = MemberNode(
            origin.this,
            config.client_address,
            limits,
            timing,
            origin.cluster_key,
            disk_free=lambda: free_bytes(config.data_dir),
            expiry_policy=Guard(limits, timing),
        )
        self._engine = Engine(
            EngineConfig(
                name=config.name,
                peers=origin.peers,
                cluster_key=origin.cluster_key,
                data_dir=Path(config.data_dir),
                bind_address=config.peer_address,
                client_address=config.client_address,
                heartbeat_ms=timing.heartbeat_ms,
                election_timeout_ms_min=timing.election_timeout_ms_min,
                election_timeout_ms_max=timing.election_timeout_ms_max,
                tick_ms=timing.tick_ms,
                frame_size_bytes_max=limits.peer_frame_size_bytes_max,
                send_window_bytes_max=limits.peer_send_window_bytes_max,
                snapshot_bytes_per_s_max=limits.snapshot_bytes_per_s_max,
                journal_size_bytes_max=limits.journal_size_bytes_max,
            ),
            self.node,
            on_fatal=self._fail,
        )
        self.node.attach(self._engine)
        self._catalog = Catalog(self.node)
        self._metrics: CollectorRegistry | None = None
        self._etcd = EtcdGateway(self.node)
        self._http = self._listen_for_http() if config.http_address else None
        self._grpc = self._listen_for_grpc()
        self._dns = DnsGateway(self.node, self._catalog, config) if config.dns_address else None
        self._checks = CheckRunner(self.node, self._catalog, config)
        self._health: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._heap = Heap()

    def _listen_for_grpc(self) -> FrontServer | GrpcAioServer:
        config = self.config
        services = [*native_services(self.node, self._catalog), *self._etcd.services()]
        if config.grpc_host == "grpcio":
            return GrpcAioServer(services, config.limits)
        http1 = None if self._http is None else self._http.accept
        front = FrontServer(services, config.limits, config.timing, http1=http1)
        if self._metrics is not None:
            self._metrics.register(FrontCollector(front.tallies))
        return front

    def _listen_for_http(self) -> HttpListener:
        limits = self.config.limits
        listener = HttpListener(
            2 * limits.request_size_bytes_max,
            limits.http_connections_max,
            self.config.timing.http_request_ms / 1000,
        )
        JsonGateway(self.node, self._etcd.services()).register(listener)
        register_wellness(listener, self._unready)
        self._metrics = register_metrics(listener, self.node, self._etcd.handled)
        return listener

    def _unready(self) -> str:
        """Returns why this member can't do its work; empty: it can."""
        if self._health is None:
            return "it has not started yet"
        return "" if self.node.consensus_status.leader is not None else "it knows no leader"

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            self._failed.set_result(error)

    async def start(self) -> None:
        """Binds the listeners, recovers from disk and serves. Raises ConfigError or FatalError."""
        self._grpc.bind(self.config.client_address)
        if self._http is not None:
            self._http.bind(*split_address(self.config.http_address))
        if self._dns is not None:
            self._dns.bind()
        await self.node.start()
        self._following = asyncio.create_task(self._follow())
        self._checks.start()
        if self._dns is not None:
            await self._dns.start()
        await self._grpc.start()
        if self._http is not None:
            await self._http.start()
        self._heap.freeze(self.node.state.key_count)
        self._health = asyncio.create_task(self._tell_health())
        log.info(
            "serving",
            name=self.config.name,
            version=__version__,
            clients=self.config.client_address,
            peers=self.config.peer_address,
            http=self.config.http_address or "off",
            dns=self.config.dns_address or "off",
            data_dir=self.config.data_dir,
            members=len(self._engine.members),
        )

    async def _tell_health(self) -> None:
        """Keeps the health service's word on whether this node can serve: whether it knows a leader."""
        known = None
        while True:
            self._heap.settle(self.node.state.key_count)
            leader = self.node.consensus_status.leader is not None
            if leader != known:
                known = leader
                await self._grpc.set_serving(leader)
            await asyncio.sleep(HEALTH_PERIOD_S)

    async def _follow(self) -> None:
        """Keeps the catalog current. Without that, what it says would be less true from day to day."""
        try:
            await self._catalog.run()
        except Exception as error:
            self._fail(error)

    async def failed(self) -> BaseException:
        """Returns, when it happens, the error for which the node must stop."""
        return await asyncio.shield(self._failed)

    async def stop(self) -> None:
        """Lets another member lead, refuses new requests, lets those under way finish, and stops. Idempotent."""
        loop = asyncio.get_running_loop()
        drain_s = self.config.timing.drain_ms / 1000
        ends_at = loop.time() + drain_s
        await self._checks.stop()
        if not await self.node.hand_over(HAND_OVER_SHARE * drain_s):
            log.info(
                "no other member took over; a new leader will be elected", name=self.config.name
            )
        if self._health is not None:
            self._health.cancel()
        self.node.drain()
        # What is still open near the end of the grace learns what became of it, before its call is ended.
        left_s = ends_at - loop.time()
        giving_up = loop.call_later(0.9 * left_s, self.node.give_up)
        await self._grpc.stop(left_s)
        giving_up.cancel()
        if self._http is not None:
            await self._http.stop(ends_at - loop.time())
        if self._dns is not None:
            await self._dns.stop(ends_at - loop.time())
        if self._following is not None:
            self._following.cancel()
        await self.node.stop()


def end_within(seconds: float, loop: asyncio.AbstractEventLoop) -> None:
    """Ends this program if it has not ended by itself by then, as a power cut would: nothing acknowledged is lost.

    What its threads and the tasks of the loop wait for is printed before.
    """

    def end() -> None:
        log.critical("it did not stop in time, and is ended; what it was doing follows")
        faulthandler.dump_traceback(all_threads=True)
        # The loop goes on meanwhile: what it changes under this thread's eyes is not worth an exception.
        with contextlib.suppress(Exception):
            for task in asyncio.all_tasks(loop):
                print(task.get_name(), *_waits(task.get_coro()), sep="\n  ", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _waits(awaited: object) -> Iterator[str]:
    """Yields where a coroutine waits, and where what it waits for does. A task alone shows the first place only."""
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        code = frame.f_code
        yield f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"
        awaited = getattr(awaited, "cr_await", None)


async def serve(config: Config) -> None:
    """Runs a node until SIGINT or SIGTERM. Raises ConfigError or FatalError."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    stopped = asyncio.create_task(stopping.wait())
    finding = asyncio.create_task(find_origin(config))
    await asyncio.wait({finding, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not finding.done():
        finding.cancel()
        await asyncio.wait({finding})
        return
    server = Server(config, finding.result())
    try:
        await server.start()
        failed = asyncio.create_task(server.failed())
        await asyncio.wait({failed, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if failed.done():
            raise failed.result()
        failed.cancel()
        log.info("stopping", name=config.name)
    finally:
        end_within(config.timing.drain_ms / 1000 + STOP_EXCESS_S, loop)
        await server.stop()
