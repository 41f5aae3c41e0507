"""The systems that are measured, each three members on this machine with its default durability."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from benchmarks.peers.clients import Client, CoordinatorClient, CoordinatorSessions, Sessions
from benchmarks.peers.etcd_client import EtcdClient, EtcdSessions
from benchmarks.peers.zookeeper_adapter import ZooKeeperAdapter, ZooKeeperSessions
from benchmarks.peers.zookeeper_client import ZooKeeperClient
from coordinator_client.testing.nodes import find_free_ports
from scripts.localcluster.cluster import LocalCluster
from tests.cluster.harness import find_base_port

START_TIMEOUT_S = 60.0
ATTEMPT_TIMEOUT_S = 5.0
RETRY_S = 0.02
MEMBERS = 3
HOST_VARIABLE = "COORDINATOR_GRPC_HOST"
"""What nodes learn their host of calls from."""
JAR = Path("/usr/share/java/zookeeper.jar")
"""Debian's, which names all others that it needs."""

T = TypeVar("T")


class System(Protocol):
    """A cluster, whose processes run since it was made. Members are numbered from 0."""

    name: str
    grpc_host: str
    """What hosts its calls, if it is ours."""

    @property
    def processes(self) -> list[int]:
        """Those of the members, in their order."""
        ...

    @property
    def etcd_endpoints(self) -> list[str]:
        """Where members speak etcd's API, in their order; none: they do not."""
        ...

    async def connect(self, start: int = 0) -> Client:
        """Returns a client as programs have it; it begins with member `start`. Waits until the cluster serves."""
        ...

    async def connect_to(self, member: int) -> Client:
        """Returns a client of one member, which may not serve yet. Raises OSError."""
        ...

    def sessions(self, start: int, ttl_s: float) -> Sessions:
        """Returns a connection for sessions, with member `start` where a client uses one."""
        ...

    async def find_leader(self) -> int: ...

    def revive(self, member: int) -> None:
        """Starts a member that was killed, with its data."""
        ...

    def stop(self) -> None: ...


async def until(attempt: Callable[[], Awaitable[T]], timeout_s: float = START_TIMEOUT_S) -> T:
    """Makes an attempt again and again until it succeeds. Raises what the last one raised."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return await asyncio.wait_for(attempt(), ATTEMPT_TIMEOUT_S)
        except Exception:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(RETRY_S)


class Coordinator:
    """Three nodes of ours."""

    name = "coordinator"
    grpc_host = "front"

    def __init__(self, folder: Path) -> None:
        self._cluster = LocalCluster(folder)
        before = os.environ.get(HOST_VARIABLE)
        os.environ[HOST_VARIABLE] = self.grpc_host
        try:
            self._cluster.start(MEMBERS, find_base_port(MEMBERS))
        finally:
            del os.environ[HOST_VARIABLE]
            if before is not None:
                os.environ[HOST_VARIABLE] = before
        self._endpoints = [node.client for node in self._cluster.nodes]

    @property
    def processes(self) -> list[int]:
        return [node.pid for node in self._cluster.nodes if node.pid is not None]

    @property
    def etcd_endpoints(self) -> list[str]:
        return self._endpoints

    async def connect(self, start: int = 0) -> Client:
        client = CoordinatorClient(self._endpoints)
        await until(lambda: client.get("/started"))
        return client

    async def connect_to(self, member: int) -> Client:
        return CoordinatorClient([self._endpoints[member]])

    def sessions(self, start: int, ttl_s: float) -> Sessions:
        return CoordinatorSessions(self._endpoints, ttl_s)

    async def find_leader(self) -> int:
        name = await asyncio.to_thread(self._cluster.wait_leader)
        return [node.name for node in self._cluster.nodes].index(name)

    def revive(self, member: int) -> None:
        self._cluster.restart(member + 1)

    def stop(self) -> None:
        self._cluster.stop()


class CoordinatorOnGrpcio(Coordinator):
    """Three nodes of ours whose calls are hosted by grpcio's server."""

    name = "grpcio"
    grpc_host = "grpcio"


class _Spawned:
    """Processes of another system, each with its log, ended with SIGKILL."""

    grpc_host = ""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._commands: list[list[str]] = []
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def processes(self) -> list[int]:
        return [child.pid for child in self._children]

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "servers.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def _start(self, commands: list[list[str]]) -> None:
        self._commands = commands
        for command in commands:
            self._children.append(self._spawn(command))

    def revive(self, member: int) -> None:
        self._children[member].wait()
        self._children[member] = self._spawn(self._commands[member])

    def stop(self) -> None:
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            child.wait()


class Etcd(_Spawned):
    """Three members of Debian's etcd."""

    name = "etcd"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        names = [f"e{number}" for number in range(MEMBERS)]
        ports = find_free_ports(2 * MEMBERS)
        clients = {name: f"http://127.0.0.1:{ports.pop()}" for name in names}
        peers = {name: f"http://127.0.0.1:{ports.pop()}" for name in names}
        cluster = ",".join(f"{name}={peers[name]}" for name in names)
        commands = []
        for name in names:
            urls = [
                *("--listen-client-urls", clients[name]),
                *("--advertise-client-urls", clients[name]),
                *("--listen-peer-urls", peers[name]),
                *("--initial-advertise-peer-urls", peers[name]),
                *("--initial-cluster", cluster),
            ]
            data = str(folder / name)
            commands.append(["etcd", "--name", name, "--data-dir", data, *urls])
        self._start(commands)
        self._endpoints = [clients[name].removeprefix("http://") for name in names]

    @property
    def etcd_endpoints(self) -> list[str]:
        return self._endpoints

    async def connect(self, start: int = 0) -> Client:
        async def open_one() -> EtcdClient:
            client = EtcdClient(self._endpoints[start % MEMBERS])
            try:
                await client.get("/started")
            except BaseException:
                await client.close()
                raise
            return client

        return await until(open_one)

    async def connect_to(self, member: int) -> Client:
        return EtcdClient(self._endpoints[member])

    def sessions(self, start: int, ttl_s: float) -> Sessions:
        return EtcdSessions(self._endpoints[start % MEMBERS], ttl_s)

    async def find_leader(self) -> int:
        async def look() -> int:
            for number, endpoint in enumerate(self._endpoints):
                client = EtcdClient(endpoint)
                try:
                    if await client.leads():
                        return number
                finally:
                    await client.close()
            raise ConnectionError("no member of etcd leads")

        return await until(look)


class ZooKeeper(_Spawned):
    """Three members of Debian's ZooKeeper."""

    name = "zookeeper"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        numbers = range(1, MEMBERS + 1)
        ports = find_free_ports(3 * MEMBERS)
        servers = [f"server.{n}=127.0.0.1:{ports.pop()}:{ports.pop()}" for n in numbers]
        self.endpoints = []
        commands = []
        for number in numbers:
            data = folder / f"z{number}"
            data.mkdir(parents=True)
            (data / "myid").write_text(str(number))
            port = ports.pop()
            self.endpoints.append(f"127.0.0.1:{port}")
            config = data / "zoo.cfg"
            settings = ["tickTime=2000", "initLimit=10", "syncLimit=5", f"dataDir={data}"]
            settings += [f"clientPort={port}", "clientPortAddress=127.0.0.1"]
            settings += ["admin.enableServer=false", "maxClientCnxns=0", *servers]
            config.write_text("\n".join(settings))
            java = ["java", "-Xmx1000m", "-cp", str(JAR)]
            main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
            commands.append([*java, main, str(config)])
        self._start(commands)

    async def connect(self, start: int = 0) -> Client:
        return await until(lambda: self.connect_to(start % MEMBERS))

    @property
    def etcd_endpoints(self) -> list[str]:
        return []

    async def connect_to(self, member: int) -> Client:
        return ZooKeeperAdapter(await ZooKeeperClient.connect(self.endpoints[member]))

    def sessions(self, start: int, ttl_s: float) -> Sessions:
        return ZooKeeperSessions(self.endpoints[start % MEMBERS], ttl_s)

    async def find_leader(self) -> int:
        async def look() -> int:
            for number, endpoint in enumerate(self.endpoints):
                host, _, port = endpoint.rpartition(":")
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(b"srvr")
                told = await reader.read()
                writer.close()
                if b"Mode: leader" in told:
                    return number
            raise ConnectionError("no member of ZooKeeper leads")

        return await until(look)


SYSTEMS: dict[str, Callable[[Path], System]] = {
    "coordinator": Coordinator,
    "grpcio": CoordinatorOnGrpcio,
    "etcd": Etcd,
    "zookeeper": ZooKeeper,
}
PROGRAMS = {"etcd": "etcd", "zookeeper": "java"}
"""What must be installed for a system, beside what this project installs."""
