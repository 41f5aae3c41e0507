"""Keep-alives find the leader, through any member, and travel together."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.errors import RequestError
from coordinator.node import keepalives
from coordinator.node.messages import (
    ConnectionLost,
    KeepAlive,
    KeepAliveReply,
    Message,
    Renewal,
    decode_message,
    encode_message,
)
from coordinator.state.commands import SessionClose
from tests.bus import Bus
from tests.unit.node.test_sessions import TTL_MS, bus, opened, soon, ttls

__all__ = ["bus"]


@pytest.mark.parametrize("node", range(3))
async def test_keep_alives_through_any_member_renew_it(bus: Bus, node: int) -> None:
    await opened(bus, 7)
    for _ in range(6):
        await asyncio.sleep(TTL_MS / 3000)
        assert ttls(await bus.nodes[node].keep_alive([7], soon())) == [TTL_MS]
    assert bus.nodes[0].state.session(7) is not None


async def test_a_keep_alive_of_a_gone_session_says_so(bus: Bus) -> None:
    await opened(bus, 7)
    await bus.nodes[0].propose(SessionClose(7), soon())
    assert ttls(await bus.nodes[1].keep_alive([7, 8], soon())) == [0, 0]
    assert ttls(await bus.nodes[0].keep_alive([7], soon())) == [0]


async def test_keep_alives_of_one_turn_are_one_message(bus: Bus) -> None:
    for session_id in range(1, 21):
        await opened(bus, session_id, 10_000)
    sent: list[bytes] = []

    def tap(origin: int, member: int, payload: bytes) -> bool:
        sent.append(payload)
        return True

    bus.tap = tap
    renewed = await asyncio.gather(*(bus.nodes[1].keep_alive([i], soon()) for i in range(1, 21)))
    assert [ttls(r) for r in renewed] == [[10_000]] * 20
    assert len(sent) == 2  # the question and its answer


async def test_a_lost_leader_is_asked_again_elsewhere(bus: Bus) -> None:
    await opened(bus, 7, 10_000)
    bus.tap = lambda *_: False
    answer = asyncio.create_task(bus.nodes[2].keep_alive([7], soon()))
    await bus.settle()
    bus.tap = lambda *_: True
    bus.elect(2)
    assert ttls(await answer) == [10_000]


async def test_no_keep_alive_is_confirmed_without_a_quorum(bus: Bus) -> None:
    await opened(bus, 7, 10_000)
    bus.quorum = False
    for node in bus.nodes:
        with pytest.raises(RequestError):
            await node.keep_alive([7], soon(0.1))


async def test_an_answer_that_does_not_fit_the_question_is_not_believed(bus: Bus) -> None:
    await opened(bus, 7, 10_000)
    forged = 0

    def tap(origin: int, member: int, payload: bytes) -> bool:
        nonlocal forged
        message = decode_message(payload)
        if isinstance(message, KeepAliveReply) and not forged:
            forged += 1
            reply = KeepAliveReply(message.number, (Renewal(1), Renewal(2), Renewal(3)))
            bus.nodes[member - 1].message_received(origin, encode_message(reply))
            return False
        return True

    bus.tap = tap
    assert ttls(await bus.nodes[2].keep_alive([7], soon())) == [10_000]
    assert forged == 1


async def test_too_long_a_question_is_not_answered(bus: Bus) -> None:
    answers: list[bytes] = []

    def tap(origin: int, member: int, payload: bytes) -> bool:
        answers.append(payload)
        return True

    bus.tap = tap
    bus.nodes[0].message_received(
        2, encode_message(KeepAlive(1, tuple(range(10_001)), (0,) * 10_001))
    )
    await bus.settle()
    assert not answers


async def test_so_many_questions_at_once_and_no_more(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepalives, "ANSWERS_MAX", 3)
    answers: list[int] = []

    def tap(origin: int, member: int, payload: bytes) -> bool:
        message = decode_message(payload)
        if isinstance(message, KeepAliveReply):
            answers.append(message.number)
        return True

    bus.tap = tap
    for number in range(1, 6):
        bus.nodes[0].message_received(2, encode_message(KeepAlive(number, (7,), (0,))))
    await bus.settle()
    assert answers == [1, 2, 3]
    bus.nodes[0].message_received(2, encode_message(KeepAlive(6, (7,), (0,))))
    await bus.settle()
    assert answers == [1, 2, 3, 6]


async def test_of_nothing_nothing_is_asked(bus: Bus) -> None:
    bus.elect(None)
    assert not await bus.nodes[1].keep_alive([], soon())


async def test_stopping_ends_what_is_under_way(bus: Bus) -> None:
    bus.quorum = False
    answer = asyncio.create_task(bus.nodes[0].keep_alive([7], soon(0.3)))
    await bus.settle()
    await bus.nodes[0].stop()
    with pytest.raises(RequestError):
        await answer


async def test_a_loss_is_reported_to_the_leader_once_there_is_one(bus: Bus) -> None:
    reports: list[Message] = []

    def tap(origin: int, member: int, payload: bytes) -> bool:
        message = decode_message(payload)
        if isinstance(message, ConnectionLost):
            reports.append(message)
        return True

    bus.tap = tap
    bus.nodes[1].connection_lost({7: 1})
    assert reports == [ConnectionLost(((7, 1),))]
    bus.elect(None)
    bus.nodes[1].connection_lost({7: 1})  # to nobody: the TTL applies
    bus.elect(1)
    bus.nodes[1].drain()
    bus.nodes[1].connection_lost({7: 1})  # this member ends its streams itself
    assert len(reports) == 1
