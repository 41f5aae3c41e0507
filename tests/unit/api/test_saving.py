"""A snapshot over the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from coordinator.api.saving import CHUNK_SIZE_BYTES
from coordinator_client.pb import cluster_pb2, kv_pb2
from tests.unit.api.conftest import Face, error_of

REQUEST = cluster_pb2.SnapshotSaveRequest()


def begin(face: Face) -> Any:
    return face.stream("Cluster/SnapshotSave", cluster_pb2.SnapshotSaveResponse)


async def test_the_file_comes_in_order_after_a_word_about_it(face: Face) -> None:
    content = bytes(range(256)) * 2_500
    consensus = face.bus.members[1]
    consensus.snapshot_content = content
    await face.call("KV/Put", kv_pb2.PutRequest(key=b"k"), kv_pb2.PutResponse)
    stream = begin(face)
    await stream.write(REQUEST)
    about = (await stream.read()).about
    assert (about.revision, about.size_bytes) == (2, len(content))
    assert (about.index, about.term) == (consensus.applied, face.bus.term)
    chunks = []
    while (message := await stream.read()) is not grpc.aio.EOF:
        chunks.append(message.chunk)
    assert b"".join(chunks) == content
    assert {len(chunk) for chunk in chunks[:-1]} == {CHUNK_SIZE_BYTES}
    assert consensus.snapshots[0].closed


async def test_a_slow_client_holds_back_only_its_own(face: Face) -> None:
    consensus = face.bus.members[1]
    consensus.snapshot_content = bytes(64 << 20)
    slow = begin(face)
    await slow.write(REQUEST)
    await slow.read()
    await face.call("KV/Put", kv_pb2.PutRequest(key=b"k"), kv_pb2.PutResponse)
    second = begin(face)
    await second.write(REQUEST)
    assert (await second.read()).about.size_bytes == 64 << 20
    third = begin(face)
    await third.write(REQUEST)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await third.read()
    assert error_of(raised.value)[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
    slow.cancel()
    second.cancel()
    async with asyncio.timeout(10):
        while not all(one.closed for one in consensus.snapshots):
            await asyncio.sleep(0.01)


async def test_a_client_that_stalls_is_let_go(face: Face) -> None:
    consensus = face.bus.members[1]
    consensus.snapshot_content = bytes(64 << 20)
    face.node.timing = type(face.node.timing)(snapshot_stall_ms=50)
    stream = begin(face)
    await stream.write(REQUEST)
    await stream.read()
    async with asyncio.timeout(10):
        while not consensus.snapshots[0].closed:
            await asyncio.sleep(0.01)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        while True:
            await stream.read()
    assert error_of(raised.value)[:2] == (grpc.StatusCode.ABORTED, "CLIENT_STALLED")
