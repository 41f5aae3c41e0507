"""What connections share: turns, the end of calls, and quiet."""

from __future__ import annotations

import asyncio

from coordinator.config import Limits, Timing
from coordinator.wire.front.host import STREAMS_MORE, Host, Turn, http2_limits
from coordinator.wire.front.tallies import Tallies


class Written:
    def __init__(self, turn: Turn) -> None:
        self.turn, self.flushed, self.again, self.aborted = turn, 0, False, False

    def flush(self) -> None:
        self.flushed += 1
        if self.again:
            self.again = False
            self.turn.add(self)

    def abort(self) -> None:
        self.aborted = True


class Broken(Written):
    def flush(self) -> None:
        raise ZeroDivisionError("a bug")


async def test_a_bug_with_one_connection_leaves_the_others_alone() -> None:
    turn = Turn(asyncio.get_running_loop())
    broken, fine = Broken(turn), Written(turn)
    turn.add(broken)
    turn.add(fine)
    await asyncio.sleep(0)
    assert broken.aborted and fine.flushed == 1 and not fine.aborted


async def test_a_turn_flushes_each_connection_once() -> None:
    turn = Turn(asyncio.get_running_loop())
    first, second = Written(turn), Written(turn)
    second.again = True
    turn.add(first)
    turn.add(second)
    assert first.flushed == second.flushed == 0
    await asyncio.sleep(0)
    assert (first.flushed, second.flushed) == (1, 1)
    await asyncio.sleep(0)
    assert (first.flushed, second.flushed) == (1, 2)


def make() -> Host:
    return Host(asyncio.get_running_loop(), [], Limits(), Timing(), Tallies())


async def test_quiet_is_when_no_call_came_for_a_while() -> None:
    host = make()
    loop = asyncio.get_running_loop()
    host.refuse()
    assert host.stopping_refusal is not None and host.stopping_refusal.status == 14
    began = loop.time()
    await host.quiet(10)
    assert 0.09 < loop.time() - began < 5
    host.unary_open = 1
    began = loop.time()
    await host.quiet(0.3)
    assert loop.time() - began >= 0.3


async def test_calls_that_do_not_end_are_told() -> None:
    host = make()
    loop = asyncio.get_running_loop()
    assert await host.end_calls(loop.time())
    go_on = asyncio.Event()

    async def stubborn() -> None:
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue

    task = loop.create_task(stubborn())
    await asyncio.sleep(0)
    host.leave(task)
    assert not await host.end_calls(loop.time() + 0.05)
    go_on.set()
    assert await host.end_calls(loop.time() + 5)
    host.leave(task)
    host.tallies.calls_open = 1
    began = loop.time()
    await host.idle(began + 0.05)
    assert loop.time() - began >= 0.05


def test_limits_of_http2_follow_ours() -> None:
    limits = http2_limits(Limits(streams_max=7))
    assert limits.streams_max == 7 + STREAMS_MORE
    assert http2_limits(Limits(streams_max=30_000)).resets.burst == 30_000
    assert limits.header_list_size_bytes_max == 16 * 1024
