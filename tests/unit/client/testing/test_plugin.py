"""The fixtures, used as a program's own tests would."""

from __future__ import annotations

import time

import pytest

import coordinator_client
from coordinator_client import Cause, aio
from coordinator_client.testing import Node, Nodes

pytestmark = pytest.mark.xdist_group("testing")


def test_a_node_is_there(coordinator_node: Node) -> None:
    with coordinator_client.connect(coordinator_node.endpoint) as client:
        client.put("/left/over", "x")
        client.session(ttl=60).open().put("/held", "y")
        assert client.get("/left/over") is not None


def test_the_next_test_finds_it_empty(coordinator_node: Node) -> None:
    with coordinator_client.connect(coordinator_node.endpoint) as client:
        assert client.range("", prefix=True).count == 0
        assert client.sessions() == ()


def test_a_cluster_that_loses_its_leader(coordinator_cluster: Nodes) -> None:
    assert len(coordinator_cluster) == len(coordinator_cluster.endpoints) == 3
    leader = coordinator_cluster.leader()
    with coordinator_cluster.connect() as client:
        client.put("/k", "1")
        leader.kill()
        assert not leader.running and leader.pid is None
        client.put("/k", "2", timeout_s=20)
        assert coordinator_cluster.leader() is not leader
        leader.start()
        second = coordinator_cluster.leader()
        second.pause()
        assert second.running and not second.answers
        assert coordinator_cluster.leader() is not second


async def test_the_next_test_finds_all_nodes_well(coordinator_cluster: Nodes) -> None:
    assert all(node.running for node in coordinator_cluster)
    async with aio.connect(coordinator_cluster.endpoints) as client:
        assert await client.get("/k") is None
        for endpoint in coordinator_cluster.endpoints:
            assert (await client.status(endpoint)).leader_id


def test_a_crash_of_a_program_can_be_played_through(coordinator_cluster: Nodes) -> None:
    with coordinator_cluster.connect() as client, client.discover("mail") as view:
        changes = view.changes()
        registration = client.register("mail", "127.0.0.1", 25, id="m-1").open()
        assert changes.next(5).instance.id == "m-1"
        assert registration.session is not None
        client.close_session(registration.session.id)
        gone = changes.next(5)
        assert gone.cause is Cause.SESSION_CLOSED
        registration.close()


def test_what_is_left_to_a_node_that_stops(coordinator_node: Node) -> None:
    with coordinator_client.connect(coordinator_node.endpoint, timeout_s=20) as client:
        client.put("/kept", "x")
        began = time.monotonic()
        coordinator_node.restart()
        assert client.get("/kept") is not None
        assert time.monotonic() - began < 20
    assert "stopping" in coordinator_node.log
