"""A whole node in this loop: it starts, serves, stops, and starts again where it was."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dns.asyncquery
import dns.message
import grpc
import httpx
import pytest

from coordinator.catalog.catalog import Catalog
from coordinator.config import Config, Limits, Member, Timing
from coordinator.consensus.interface import Role
from coordinator.errors import ConfigError
from coordinator.joining import find_origin
from coordinator.node.interface import AlarmKind
from coordinator.server import Server
from coordinator.state.commands import Put, Write
from coordinator_client import aio
from coordinator_client.errors import Compacted, LimitExceeded
from coordinator_client.pb import kv_pb2
from tests.hosts import HOST
from tests.unit.state.workload import bundle

_given: set[int] = set()


def free_port() -> int:
    """Returns a port that nobody listens on, and that was not returned before: the system may offer one again."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


def config(path: Path) -> Config:
    return Config(
        grpc_host=HOST,
        data_dir=str(path),
        client_address=f"127.0.0.1:{free_port()}",
        peer_address=f"127.0.0.1:{free_port()}",
    )


async def make(settings: Config) -> Server:
    return Server(settings, await find_origin(settings))


async def put(address: str, key: bytes) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(
            "/coordinator.v1.KV/Put",
            request_serializer=kv_pb2.PutRequest.SerializeToString,
            response_deserializer=kv_pb2.PutResponse.FromString,
        )
        response = await call(kv_pb2.PutRequest(key=key), timeout=10, wait_for_ready=True)
        return int(response.header.revision)


async def test_a_node_alone_serves_and_recovers(tmp_path: Path) -> None:
    settings = config(tmp_path)
    revisions = []
    for _ in range(2):
        server = await make(settings)
        await server.start()
        revisions += [await put(settings.client_address, b"/a") for _ in range(2)]
        await server.stop()
        await server.stop()
    assert revisions == [2, 3, 4, 5]


@pytest.mark.skipif(HOST != "front", reason="grpcio's server speaks nothing but HTTP/2")
@pytest.mark.parametrize("serves_http", [True, False])
async def test_http_is_answered_on_the_client_port(tmp_path: Path, serves_http: bool) -> None:
    address = f"127.0.0.1:{free_port()}" if serves_http else ""
    settings = replace(config(tmp_path), http_address=address)
    server = await make(settings)
    await server.start()
    try:
        await put(settings.client_address, b"/a")
        async with httpx.AsyncClient(base_url=f"http://{settings.client_address}") as client:
            answer = await client.get("/version")
            assert answer.status_code == (200 if serves_http else 404)
            if serves_http:
                assert "etcdserver" in answer.json()
                metrics = (await client.get("/metrics")).text
                assert 'coordinator_front_calls_total{grpc_code="OK"}' in metrics
                assert 'coordinator_front_connections_total{fate="handed_on"} 1.0' in metrics
    finally:
        await server.stop()


async def test_three_nodes_elect_replicate_and_agree(tmp_path: Path) -> None:
    names = ("n1", "n2", "n3")
    cluster = tuple(Member(name, f"127.0.0.1:{free_port()}") for name in names)
    servers = [
        await make(
            Config(
                grpc_host=HOST,
                name=member.name,
                data_dir=str(tmp_path / member.name),
                client_address=f"127.0.0.1:{free_port()}",
                peer_address=member.peer_address,
                cluster=cluster,
            )
        )
        for member in cluster
    ]
    try:
        for server in servers:
            await server.start()
        for server in servers:
            await put(server.config.client_address, server.config.name.encode())
        async with asyncio.timeout(5):
            while len({s.node.consensus_status.applied_index for s in servers}) > 1:
                await asyncio.sleep(0.02)
        assert len({s.node.state.digest() for s in servers}) == 1
        assert {s.node.state.revision for s in servers} == {4}
        members = servers[0].node.members()
        assert [m.peer.name for m in members] == list(names)
        assert [m.client_address for m in members] == [s.config.client_address for s in servers]
        assert sum(m.leader for m in members) == 1
    finally:
        for server in servers:
            await server.stop()


async def test_a_node_checks_what_asks_for_it(tmp_path: Path) -> None:
    settings = replace(config(tmp_path), limits=Limits(check_interval_ms_min=100))
    server = await make(settings)
    await server.start()
    try:
        async with aio.connect(settings.client_address) as client:
            port = int(settings.client_address.rpartition(":")[2])
            checks = {
                "tcp": aio.TcpCheck(interval=0.1),
                "grpc": aio.GrpcCheck(interval=0.1, timeout=5),
            }
            async with (
                client.register("coordinator", "127.0.0.1", port, checks=checks),
                client.discover("coordinator", healthy=True) as view,
            ):
                (found,) = await view.wait_for(1, timeout_s=10)
                assert {name: c.status for name, c in found.checks.items()} == {
                    "tcp": "passing",
                    "grpc": "passing",
                }
    finally:
        await server.stop()


async def test_a_node_answers_dns_when_it_is_told_to(tmp_path: Path) -> None:
    settings = replace(config(tmp_path), dns_address=f"127.0.0.1:{free_port()}")
    port = int(settings.dns_address.rpartition(":")[2])
    asked = dns.message.make_query("pay.service.coordinator.", "A")
    server = await make(settings)
    await server.start()
    try:
        async with aio.connect(settings.client_address) as client:
            await client.put("/services/pay/instances/a", '{"address": "10.0.0.7", "port": 80}')
        # What is acknowledged is applied here, and who follows hears of it in the same turn.
        async with asyncio.timeout(5):
            while not (answer := await dns.asyncquery.udp(asked, "127.0.0.1", 5, port)).answer:
                await asyncio.sleep(0.01)
        assert answer.answer[0].to_text() == "pay.service.coordinator. 0 IN A 10.0.0.7"
        assert (await dns.asyncquery.tcp(asked, "127.0.0.1", 5, port)).answer == answer.answer
    finally:
        await server.stop()
    with pytest.raises(ConnectionError):
        await dns.asyncquery.tcp(asked, "127.0.0.1", 5, port)


async def test_a_catalog_that_fails_stops_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Catalog) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Catalog, "run", fail)
    server = await make(replace(config(tmp_path), dns_address=f"127.0.0.1:{free_port()}"))
    await server.start()
    async with asyncio.timeout(5):
        assert isinstance(await server.failed(), ZeroDivisionError)
    await server.stop()


@pytest.mark.parametrize("field", ["client_address", "peer_address", "dns_address"])
async def test_an_address_in_use_is_told_in_a_sentence(tmp_path: Path, field: str) -> None:
    settings = replace(config(tmp_path), dns_address=f"127.0.0.1:{free_port()}")
    with socket.socket() as taken:
        port = int(getattr(settings, field).rpartition(":")[2])
        taken.bind(("127.0.0.1", port))
        taken.listen()
        server = await make(settings)
        with pytest.raises(ConfigError, match=r"in use|can.t listen"):
            await server.start()
        await server.stop()


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        (Limits(disk_free_bytes_min=1 << 62), "disk"),
        (Limits(state_size_bytes_max=20_000), "space-quota"),
    ],
)
async def test_without_room_a_node_takes_only_what_frees_some(
    tmp_path: Path, limits: Limits, kind: str
) -> None:
    settings = replace(config(tmp_path), limits=limits)
    server = await make(settings)
    await server.start()
    try:
        async with aio.connect(settings.client_address) as client:
            if kind == "space-quota":
                await client.put("/a", "x" * 20_000)
            with pytest.raises(LimitExceeded) as caught:
                await client.put("/b", "")
            assert caught.value.reason == "SPACE_QUOTA"
            with pytest.raises(LimitExceeded):
                async with client.session(ttl=5, metadata={"about": "x" * 100}):
                    pass
            status = await client.status(settings.client_address)
            assert [alarm.kind for alarm in status.alarms] == [kind]
            assert status.state_size_bytes_max == limits.state_size_bytes_max
            assert status.disk_free_bytes is not None and status.disk_free_bytes < 1 << 62
            deleted = await client.delete("/a")
            # Above its quota the node compacts by itself, too, and may come first.
            with contextlib.suppress(Compacted):
                await client.compact(deleted.revision)
            status = await client.status(settings.client_address)
            assert status.compacted_revision == deleted.revision
            if kind == "space-quota":
                await client.put("/b", "")
                assert not (await client.status(settings.client_address)).alarms
    finally:
        await server.stop()


@pytest.mark.parametrize("leads", [True, False])
async def test_a_node_whose_state_was_altered_is_found_and_the_others_go_on(
    tmp_path: Path, leads: bool
) -> None:
    ports = [(free_port(), free_port()) for _ in range(3)]
    cluster = tuple(
        Member(f"n{i}", f"127.0.0.1:{peer}") for i, (_, peer) in enumerate(ports, start=1)
    )
    servers = [
        await make(
            Config(
                grpc_host=HOST,
                name=f"n{i}",
                data_dir=str(tmp_path / f"n{i}"),
                client_address=f"127.0.0.1:{client}",
                peer_address=f"127.0.0.1:{peer}",
                cluster=cluster,
                timing=Timing(digest_check_ms=100),
            )
        )
        for i, (client, peer) in enumerate(ports, start=1)
    ]
    for server in servers:
        await server.start()
    try:
        await put(servers[0].config.client_address, b"/a")
        odd = next(s for s in servers if (s.node.consensus_status.role is Role.LEADER) == leads)
        odd.node.state.apply(bundle([Write(Put(b"/by nobody", b""))]))
        async with asyncio.timeout(20):
            failure = await odd.failed()
        assert "differs from that of a majority" in str(failure)
        await odd.stop()
        others = [server for server in servers if server is not odd]
        revisions = [await put(other.config.client_address, b"/b") for other in others]
        assert revisions == [3, 4]
        async with asyncio.timeout(20):
            while not all(
                [(a.kind, a.member) for a in other.node.alarms()]
                == [(AlarmKind.DIVERGED, odd.node.member.id)]
                for other in others
            ):
                await asyncio.sleep(0.01)
    finally:
        for server in servers:
            await server.stop()


HANGING = """
import asyncio, signal, sys
from coordinator import server
from coordinator.config import Config, Timing
from coordinator.node.member import MemberNode

async def never_ends(self):
    await asyncio.Event().wait()

MemberNode.stop = never_ends
server.STOP_EXCESS_S = 0.2
config = Config(
    data_dir=sys.argv[1],
    client_address=sys.argv[2],
    peer_address=sys.argv[3],
    timing=Timing(drain_ms=200),
)
start = server.Server.start

async def start_and_stop(self):
    await start(self)
    signal.raise_signal(signal.SIGTERM)

server.Server.start = start_and_stop
asyncio.run(server.serve(config))
"""


def test_a_node_that_does_not_stop_is_ended_and_says_what_it_waits_for(tmp_path: Path) -> None:
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    done = subprocess.run(
        [sys.executable, "-c", HANGING, str(tmp_path / "node"), *addresses],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "did not stop in time" in done.stdout + done.stderr
    assert "most recent call first" in done.stderr
    assert "never_ends" in done.stderr
