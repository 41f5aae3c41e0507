from __future__ import annotations

from typing import Any

import pytest

from coordinator.api.begun import Begun
from coordinator.rpc import Message
from coordinator_client.pb import kv_pb2

CALL: Any = object()


async def begin(call: object, request: bytes) -> bytes:
    assert call is CALL
    return request + b"!"


def reply(key: bytes) -> Message:
    return kv_pb2.PutResponse(key=key)


async def late_reply(key: bytes) -> Message:
    return reply(key)


@pytest.mark.parametrize("finish", [reply, late_reply])
async def test_a_host_calls_it_like_any_other_method(finish: Any) -> None:
    assert await Begun(begin, finish)(CALL, b"/a") == kv_pb2.PutResponse(key=b"/a!")


async def test_what_goes_wrong_in_either_part_is_raised() -> None:
    with pytest.raises(TypeError):
        await Begun(begin, reply)(CALL, 7)
    with pytest.raises(ZeroDivisionError):
        await Begun(begin, lambda _: 1 / 0)(CALL, b"/a")  # type: ignore[arg-type, return-value]  # it never returns
