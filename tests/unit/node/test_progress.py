from __future__ import annotations

import asyncio

from coordinator.node.messages import Progress, ProgressQuestion, decode_message, encode_message
from coordinator.state.commands import Put, Write
from tests.bus import Bus


async def test_every_member_tells_how_far_it_is() -> None:
    async with Bus() as bus:
        bus.behind = {3}
        deadline = asyncio.get_running_loop().time() + 5
        for _ in range(3):
            await bus.nodes[0].propose(Write(Put(b"/k", b"")), deadline)
        for node in bus.nodes:
            assert await node.progress(1) == {1: 4, 2: 4, 3: 1}


async def test_who_does_not_tell_in_time_is_left_out() -> None:
    async with Bus() as bus:
        bus.cut.add((1, 2))
        bus.tap = lambda origin, member, payload: member != 3
        assert await bus.nodes[0].progress(0.05) == {1: 1}
        bus.tap = lambda *_: True
        assert await bus.nodes[0].progress(0.05) == {1: 1, 3: 1}


async def test_only_who_was_asked_is_believed() -> None:
    async with Bus("abc") as bus:

        def tap(origin: int, member: int, payload: bytes) -> bool:
            message = decode_message(payload)
            if isinstance(message, ProgressQuestion) and member == 2:
                reply = encode_message(Progress(message.number, 99))
                bus.nodes[origin - 1].message_received(3, reply)
                return False
            return True

        bus.tap = tap
        assert await bus.nodes[0].progress(0.05) == {1: 1, 3: 1}
