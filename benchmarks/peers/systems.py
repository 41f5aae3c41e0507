"""The systems that are measured, each three members on this machine with its default durability, and their clients."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Protocol

import grpc

from benchmarks.peers.zookeeper_client import ZooKeeperClient, ZooKeeperError
from coordinator.gateways.etcd.pb import kv_pb2 as etcd_pb2
from coordinator_client import Key, Put, aio
from coordinator_client.testing.nodes import find_free_ports
from scripts.localcluster.cluster import LocalCluster
from tests.cluster.harness import find_base_port

START_TIMEOUT_S = 60.0
MEMBERS = 3
JAR = Path("/usr/share/java/zookeeper.jar")
"""Debian's, which names all others that it needs."""
BAD_VERSION, NODE_EXISTS = -103, -110


class Client(Protocol):
    """What the workloads ask for. Callers share it. Keys are made by `prepare` before anything else is asked."""

    async def prepare(self, keys: list[str], value: bytes) -> None: ...

    async def put(self, key: str, value: bytes) -> object: ...

    async def get(self, key: str) -> object:
        """Reads what is true of the cluster, as far as the system offers that."""
        ...

    async def get_local(self, key: str) -> object:
        """Reads what the server in use knows."""
        ...

    async def read_version(self, key: str) -> int:
        """Returns the version, for a write that fails if it is not the newest."""
        ...

    async def compare_and_set(self, key: str, version: int, value: bytes) -> int | None:
        """Writes if the key has the version; returns the new one, None if it had another."""
        ...

    async def close(self) -> None: ...


class System(Protocol):
    """A cluster that runs."""

    name: str
    processes: list[int]

    async def connect(self) -> Client: ...

    def stop(self) -> None: ...


class CoordinatorClient:
    """Ours, with the client library."""

    def __init__(self, endpoints: list[str]) -> None:
        self._client = aio.connect(endpoints)

    async def prepare(self, keys: list[str], value: bytes) -> None:
        for key in keys:
            await self._client.put(key, value)

    async def put(self, key: str, value: bytes) -> object:
        return await self._client.put(key, value)

    async def get(self, key: str) -> object:
        return await self._client.get(key)

    async def get_local(self, key: str) -> object:
        return await self._client.get(key, local=True)

    async def read_version(self, key: str) -> int:
        found = await self._client.get(key)
        assert found is not None
        return found.mod_revision

    async def compare_and_set(self, key: str, version: int, value: bytes) -> int | None:
        txn = self._client.txn().when(Key(key).mod_revision == version).then(Put(key, value))
        result = await txn.commit()
        return result.revision if result.succeeded else None

    async def close(self) -> None:
        await self._client.close()


class Coordinator:
    """Three nodes of ours."""

    name = "coordinator"

    def __init__(self, folder: Path) -> None:
        self._cluster = LocalCluster(folder)
        self._cluster.start(MEMBERS, find_base_port(MEMBERS))
        self._cluster.wait_leader()
        self.processes = [node.pid for node in self._cluster.nodes if node.pid is not None]

    async def connect(self) -> Client:
        return CoordinatorClient([node.client for node in self._cluster.nodes])

    def stop(self) -> None:
        self._cluster.stop()


class EtcdClient:
    """etcd's, with grpc.aio stubs: no Python client of it is faster."""

    def __init__(self, endpoint: str) -> None:
        self._channel = grpc.aio.insecure_channel(endpoint)
        pb = etcd_pb2
        self._put = self._stub("Put", pb.PutResponse)
        self._range = self._stub("Range", pb.RangeResponse)
        self._txn = self._stub("Txn", pb.TxnResponse)

    def _stub(self, method: str, response: type[Any]) -> Any:
        return self._channel.unary_unary(
            f"/etcdserverpb.KV/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )

    async def prepare(self, keys: list[str], value: bytes) -> None:
        for key in keys:
            await self.put(key, value)

    async def put(self, key: str, value: bytes) -> object:
        return await self._put(etcd_pb2.PutRequest(key=key.encode(), value=value))

    async def get(self, key: str) -> object:
        return await self._range(etcd_pb2.RangeRequest(key=key.encode()))

    async def get_local(self, key: str) -> object:
        return await self._range(etcd_pb2.RangeRequest(key=key.encode(), serializable=True))

    async def read_version(self, key: str) -> int:
        found = await self._range(etcd_pb2.RangeRequest(key=key.encode()))
        revision: int = found.kvs[0].mod_revision
        return revision

    async def compare_and_set(self, key: str, version: int, value: bytes) -> int | None:
        pb = etcd_pb2
        compare = pb.Compare(
            key=key.encode(), result=pb.Compare.EQUAL, target=pb.Compare.MOD, mod_revision=version
        )
        put = pb.RequestOp(request_put=pb.PutRequest(key=key.encode(), value=value))
        reply = await self._txn(pb.TxnRequest(compare=[compare], success=[put]))
        return int(reply.header.revision) if reply.succeeded else None

    async def close(self) -> None:
        await self._channel.close()


class _Spawned:
    """Processes of another system, each with its log, ended with SIGKILL."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[subprocess.Popen[bytes]] = []
        self.processes: list[int] = []

    def _spawn(self, name: str, command: list[str]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{name}.log").open("wb") as log:
            child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self._children.append(child)
        self.processes.append(child.pid)

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
        for name in names:
            urls = [
                *("--listen-client-urls", clients[name]),
                *("--advertise-client-urls", clients[name]),
                *("--listen-peer-urls", peers[name]),
                *("--initial-advertise-peer-urls", peers[name]),
                *("--initial-cluster", cluster),
            ]
            data = str(folder / name)
            self._spawn(name, ["etcd", "--name", name, "--data-dir", data, *urls])
        self._endpoints = [clients[name].removeprefix("http://") for name in names]

    async def connect(self) -> Client:
        await _until(lambda: self._answers(self._endpoints[0]))
        return EtcdClient(self._endpoints[0])

    @staticmethod
    async def _answers(endpoint: str) -> None:
        client = EtcdClient(endpoint)
        try:
            await client.put("/started", b"")
        finally:
            await client.close()


class ZooKeeperAdapter:
    """ZooKeeper's, with the bare client. A read that is true of the cluster is a `sync` and a read, sent together."""

    def __init__(self, client: ZooKeeperClient) -> None:
        self._client = client

    async def prepare(self, keys: list[str], value: bytes) -> None:
        for key in keys:
            parts = key.strip("/").split("/")
            for depth in range(1, len(parts) + 1):
                try:
                    await self._client.create("/" + "/".join(parts[:depth]), value)
                except ZooKeeperError as error:
                    if error.code != NODE_EXISTS:
                        raise

    async def put(self, key: str, value: bytes) -> object:
        return await self._client.set(key, value)

    async def get(self, key: str) -> object:
        return await self._client.get_synced(key)

    async def get_local(self, key: str) -> object:
        return await self._client.get(key)

    async def read_version(self, key: str) -> int:
        return (await self._client.get(key))[1]

    async def compare_and_set(self, key: str, version: int, value: bytes) -> int | None:
        try:
            return await self._client.set(key, value, version)
        except ZooKeeperError as error:
            if error.code == BAD_VERSION:
                return None
            raise

    async def close(self) -> None:
        await self._client.close()


class ZooKeeper(_Spawned):
    """Three members of Debian's ZooKeeper."""

    name = "zookeeper"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        numbers = range(1, MEMBERS + 1)
        ports = find_free_ports(3 * MEMBERS)
        servers = [f"server.{n}=127.0.0.1:{ports.pop()}:{ports.pop()}" for n in numbers]
        self._endpoints = []
        for number in numbers:
            data = folder / f"z{number}"
            data.mkdir(parents=True)
            (data / "myid").write_text(str(number))
            port = ports.pop()
            self._endpoints.append(f"127.0.0.1:{port}")
            config = data / "zoo.cfg"
            settings = ["tickTime=2000", "initLimit=10", "syncLimit=5", f"dataDir={data}"]
            settings += [f"clientPort={port}", "clientPortAddress=127.0.0.1"]
            settings += ["admin.enableServer=false", "maxClientCnxns=0", *servers]
            config.write_text("\n".join(settings))
            java = ["java", "-Xmx1000m", "-cp", str(JAR)]
            main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
            self._spawn(f"z{number}", [*java, main, str(config)])

    async def connect(self) -> Client:
        client: list[ZooKeeperClient] = []

        async def open_one() -> None:
            client.append(await ZooKeeperClient.connect(self._endpoints[0]))

        await _until(open_one)
        return ZooKeeperAdapter(client[-1])


async def _until(attempt: Any) -> None:
    """Makes an attempt again and again until it succeeds. Raises what the last one raised."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            return await asyncio.wait_for(attempt(), 5)
        except Exception:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


SYSTEMS: dict[str, Any] = {"coordinator": Coordinator, "etcd": Etcd, "zookeeper": ZooKeeper}
PROGRAMS = {"etcd": "etcd", "zookeeper": "java"}
"""What must be installed for a system, beside what this project installs."""
