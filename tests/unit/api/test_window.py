"""Numbered writes beyond the window are refused before the log, and only there where that is safe."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from coordinator_client.pb import common_pb2, kv_pb2, session_pb2
from tests.unit.api.conftest import Face, error_of

RESULTS_MAX = 1024


def number(sequence: int, below: int = 0, session: int = 5) -> common_pb2.RequestId:
    return common_pb2.RequestId(session=session, sequence=sequence, acknowledged_below=below)


async def put(face: Face, request: common_pb2.RequestId, **more: object) -> kv_pb2.PutResponse:
    message = kv_pb2.PutRequest(key=b"/n", request=request, **more)  # type: ignore[arg-type]  # fields of the message
    response = await face.call("KV/Put", message, kv_pb2.PutResponse)
    assert isinstance(response, kv_pb2.PutResponse)
    return response


async def open_session(face: Face) -> None:
    request = session_pb2.SessionOpenRequest(ttl_ms=60_000, id=5)
    await face.call("Session/Open", request, session_pb2.SessionOpenResponse)


async def refused(coroutine: object) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coroutine  # type: ignore[misc]  # a coroutine of any type
    return error_of(caught.value)


async def test_beyond_the_window_costs_no_entry_of_the_log(face: Face) -> None:
    await open_session(face)
    for sequence in range(1, RESULTS_MAX + 1):
        await put(face, number(sequence))
    entries = len(face.bus.log)
    beyond = number(RESULTS_MAX + 1)
    exhausted = (grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_WINDOW", {"applied": "no"})
    assert await refused(put(face, beyond)) == exhausted
    compact = kv_pb2.CompactRequest(revision=2, request=beyond)
    assert await refused(face.call("KV/Compact", compact, kv_pb2.CompactResponse)) == exhausted
    close = session_pb2.SessionCloseRequest(id=9, request=beyond)
    assert (
        await refused(face.call("Session/Close", close, session_pb2.SessionCloseResponse))
        == exhausted
    )
    assert len(face.bus.log) == entries
    # The same write with news of what may go, and one that is answered with what is kept, pass.
    kept = await put(face, number(RESULTS_MAX))
    assert kept.header.revision == RESULTS_MAX + 1
    await put(face, number(RESULTS_MAX + 1, below=2))
    assert len(face.bus.log) == entries + 2


async def test_too_large_results_count_too(face: Face) -> None:
    await open_session(face)
    value = b"x" * (1 << 20)
    for sequence in range(1, 6):
        await put(face, number(sequence), value=value, prev_kv=True)
    entries = len(face.bus.log)
    assert (await refused(put(face, number(6))))[1] == "REQUEST_WINDOW"
    assert len(face.bus.log) == entries
    await put(face, number(6, below=6))


async def test_a_member_that_has_not_seen_the_session_yet_asks_the_log(face: Face) -> None:
    """The session exists, and a member that is behind must not say that it does not."""
    bus = face.bus
    member = face.node.member.id
    bus.behind.add(member)
    open_here = session_pb2.SessionOpenRequest(ttl_ms=60_000, id=5)
    opening = face.call("Session/Open", open_here, session_pb2.SessionOpenResponse)
    opened = asyncio.create_task(opening)
    while bus.nodes[0].state.session(5) is None:
        await asyncio.sleep(0.001)
    assert face.node.state.session(5) is None
    writing = asyncio.create_task(put(face, number(1)))
    while bus.nodes[0].state.key_count == 0:
        await asyncio.sleep(0.001)
    bus.behind.discard(member)
    bus.apply(bus.members[member - 1])
    await opened
    assert (await writing).header.revision == 2


async def test_a_session_that_ended_is_told_apart(face: Face) -> None:
    code, reason, details = await refused(put(face, number(1, session=77)))
    assert (code, reason) == (grpc.StatusCode.UNKNOWN, "OUTCOME_UNKNOWN")
    assert details == {"session": "77"}
