"""The wish for a leader, and errors of the node in etcd's words."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from coordinator.config import Timing
from coordinator.gateways.etcd.pb import kv_pb2
from tests.unit.gateways.etcd.conftest import Etcd, Watch

WANTS: dict[str, Any] = {"metadata": (("hasleader", "true"),)}
NO_LEADER = "etcdserver: no leader"


async def ended(watch: Watch) -> tuple[grpc.StatusCode, str]:
    async with asyncio.timeout(10):
        with pytest.raises(grpc.aio.AioRpcError):
            while await watch.call.read() is not grpc.aio.EOF:
                pass
    return await watch.call.code(), await watch.call.details()


async def test_a_call_that_wants_a_leader_fails_at_once_without_one(etcd: Etcd) -> None:
    etcd.bus.elect(None)
    request = kv_pb2.RangeRequest(key=b"a", serializable=True)
    call = etcd.call("etcdserverpb.KV/Range", request, kv_pb2.RangeResponse, **WANTS)
    assert await etcd.refused(call) == ("UNAVAILABLE", NO_LEADER)
    plain = await etcd.call("etcdserverpb.KV/Range", request, kv_pb2.RangeResponse)
    assert plain.count == 0
    assert await ended(Watch(etcd, **WANTS)) == (grpc.StatusCode.UNAVAILABLE, NO_LEADER)


async def test_a_stream_that_wants_a_leader_ends_some_time_after_it_is_lost(etcd: Etcd) -> None:
    etcd.node.timing = Timing(election_timeout_ms_min=10, election_timeout_ms_max=20)
    wanting, plain = Watch(etcd, **WANTS), Watch(etcd)
    for watch in (wanting, plain):
        await watch.create(b"a")
        await watch.next()
    etcd.bus.elect(None)
    assert await ended(wanting) == (grpc.StatusCode.UNAVAILABLE, NO_LEADER)
    etcd.bus.elect(1)
    await etcd.put(b"a")
    assert (await plain.next()).events[0].kv.key == b"a"


async def test_errors_of_the_node_are_told_in_etcds_words(etcd: Etcd) -> None:
    etcd.node.timing = Timing(request_timeout_ms_default=100)
    etcd.bus.elect(None)
    request = kv_pb2.RangeRequest(key=b"a")
    stub: Any = etcd.channel.unary_unary(
        "/etcdserverpb.KV/Range", kv_pb2.RangeRequest.SerializeToString
    )
    call = stub(request)
    assert await etcd.refused(call) == ("UNAVAILABLE", "etcdserver: request timed out")
