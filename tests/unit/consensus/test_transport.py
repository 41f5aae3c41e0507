from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from coordinator.consensus.codec import Payload, Vote
from coordinator.consensus.interface import Peer
from coordinator.consensus.settings import split_address
from coordinator.consensus.transport import STRANGERS_MAX
from coordinator.errors import ConfigError
from tests.unit.consensus.sockets import End, Stranger, free_peers, hello


async def both_connected(one: End, two: End) -> None:
    await one.listener.until(lambda: one.transport.connected(two.config.this.id))
    await two.listener.until(lambda: two.transport.connected(one.config.this.id))


async def test_members_find_each_other_and_talk_in_order() -> None:
    peers = free_peers(2)
    async with End(peers, 2) as two, End(peers, 1) as one:
        await both_connected(one, two)
        assert one.listener.connections == [(2, "client:2")]
        assert two.listener.connections == [(1, "client:1")]
        for number in range(200):
            assert one.transport.send(2, Vote(number))
            assert two.transport.send(1, Payload(b"%d" % number))
        await two.listener.until(lambda: len(two.listener.messages) == 200)
        await one.listener.until(lambda: len(one.listener.messages) == 200)
        assert two.listener.messages == [(1, Vote(number)) for number in range(200)]
        assert one.listener.messages == [(2, Payload(b"%d" % number)) for number in range(200)]


async def test_nothing_is_sent_without_a_connection() -> None:
    peers = free_peers(2)
    async with End(peers, 1) as one:
        assert not one.transport.connected(2)
        assert not one.transport.send(2, Vote(1))
        assert not one.transport.send(9, Vote(1))


async def test_a_member_that_comes_back_is_dialed_again() -> None:
    peers = free_peers(2)
    async with End(peers, 2) as two:
        for _ in range(2):
            async with End(peers, 1) as one:
                await both_connected(one, two)
            await two.listener.until(lambda: not two.transport.connected(1))
        assert two.listener.losses == [1, 1]


@pytest.mark.parametrize(
    ("member", "changes", "reason"),
    [
        (2, {"cluster_key": 5}, "belongs to another cluster"),
        (2, {"protocol": 9}, "speaks protocol 9"),
        (2, {"name": "n3"}, "has the id of another member"),
        (1, {}, "has the id of another member"),
    ],
)
async def test_who_does_not_belong_here_is_turned_away(
    member: int, changes: dict[str, object], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    peers = free_peers(2)
    async with End(peers, 1) as one:
        stranger = await Stranger.connect(peers[0])
        stranger.say(hello(member, **changes), Vote(1))
        assert await stranger.rest() == b"", "a stranger is told nothing"
        await stranger.close()
        assert not one.listener.connections
        assert not one.listener.messages
    assert reason in caplog.text


async def test_a_member_that_is_not_known_yet_is_heard() -> None:
    peers = free_peers(2)
    async with End(peers, 1) as one:
        stranger = await Stranger.connect(peers[0])
        stranger.say(hello(9), Vote(1))
        await one.listener.until(lambda: one.listener.messages == [(9, Vote(1))])
        await stranger.close()


async def test_the_lower_id_is_heard_if_there_is_no_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peers = free_peers(2)
    async with End(peers, 2) as two:
        first = await Stranger.connect(peers[1])
        first.say(hello(1))
        await two.listener.until(lambda: two.transport.connected(1))
        second = await Stranger.connect(peers[1])
        second.say(hello(1))
        assert await second.rest() == b""
        assert two.listener.losses == []
        await first.close()
        await second.close()
    assert "there is a connection already" in caplog.text


async def test_a_member_that_was_removed_is_told() -> None:
    peers = free_peers(2)
    async with End(peers, 1) as one:
        one.transport.set_peers(peers[:1], {2})
        async with End(peers, 2) as two:
            await two.listener.until(lambda: two.listener.removals > 0)
            assert not one.transport.connected(2)


async def test_members_that_are_named_later_are_dialed() -> None:
    peers = free_peers(3)
    async with End(peers[:2], 2) as two, End(peers, 3) as three:
        three.transport.set_peers(peers[2:], ())
        await three.listener.until(lambda: not three.transport.connected(2))
        three.transport.set_peers(peers, ())
        await both_connected(two, three)


async def test_the_other_side_dials_when_the_one_that_should_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The newcomer with the higher id may not know the other one, which was added after it."""
    monkeypatch.setattr("coordinator.consensus.dialing.STAND_IN_MS", 50)
    peers = free_peers(2)
    async with End(peers, 2) as two:
        two.transport.set_peers(peers[1:], ())
        async with End(peers, 1) as one:
            await both_connected(one, two)


async def test_a_member_at_the_address_of_another_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peers = free_peers(3)
    swapped = (
        Peer(1, "n1", peers[1].address),
        Peer(2, "n2", peers[0].address),
        peers[2],
    )
    async with End(peers, 1), End(swapped, 3) as three:
        async with asyncio.timeout(10):
            while "at the address of another member" not in caplog.text:
                await asyncio.sleep(0.005)
        assert not three.listener.connections


async def test_a_new_connection_takes_the_place_of_the_old_one() -> None:
    """What comes over the old one afterwards is not heard, not even what was sent before."""
    peers = free_peers(2)
    async with End(peers, 1) as one:
        old = await Stranger.connect(peers[0])
        old.say(hello(2), Vote(1))
        await one.listener.until(lambda: len(one.listener.messages) == 1)
        new = await Stranger.connect(peers[0])
        new.say(hello(2))
        await one.listener.until(lambda: len(one.listener.connections) == 2)
        assert one.listener.losses == [2]
        old.say(Vote(2))
        await old.rest()
        new.say(Vote(3))
        await one.listener.until(lambda: len(one.listener.messages) > 1)
        assert [message for _, message in one.listener.messages] == [Vote(1), Vote(3)]
        assert one.transport.connected(2)
        await old.close()
        await new.close()


async def test_back_pressure_refuses_and_says_when_it_is_over() -> None:
    peers = free_peers(2)
    async with End(peers, 1) as one:
        stranger = await Stranger.connect(peers[0])
        stranger.say(hello(2))
        await one.listener.until(lambda: one.transport.connected(2))
        piece = Payload(b"x" * 60_000)
        sent = 0
        while one.transport.send(2, piece):
            sent += 1
            assert sent < 1_000, "nobody reads: at some point it must be enough"
        assert not one.listener.writable
        size = 0
        while not one.listener.writable:
            size += len(await stranger.reader.read(1 << 20))
        assert one.transport.send(2, Vote(1))
        await stranger.close()


async def test_a_silent_member_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    peers = free_peers(2)
    async with End(peers, 1) as one:
        stranger = await Stranger.connect(peers[0])
        stranger.say(hello(2))
        await one.listener.until(lambda: one.transport.connected(2))
        await one.listener.until(lambda: one.listener.losses == [2])
        await stranger.close()
    assert "nothing was heard" in caplog.text


async def test_two_quiet_members_stay_connected() -> None:
    peers = free_peers(2)
    async with End(peers, 2) as two, End(peers, 1) as one:
        await both_connected(one, two)
        await asyncio.sleep(1.5 * one.config.silence_ms_max / 1_000)
        assert not one.listener.losses
        assert not two.listener.losses


async def test_too_many_strangers_are_not_served() -> None:
    peers = free_peers(2)
    async with End(peers, 1) as one:
        strangers = [await Stranger.connect(peers[0]) for _ in range(STRANGERS_MAX + 1)]
        assert await strangers[-1].rest() == b""
        for stranger in strangers[:-1]:
            await stranger.close()
        async with asyncio.timeout(10):
            while one.transport._strangers:
                await asyncio.sleep(0.005)
        late = await Stranger.connect(peers[0])
        late.say(hello(2))
        await one.listener.until(lambda: one.transport.connected(2))
        await late.close()
        await strangers[-1].close()


async def test_an_address_in_use_is_named() -> None:
    peers = free_peers(2)
    with socket.socket() as other:
        other.bind(split_address(peers[0].address))
        other.listen()
        with pytest.raises(ConfigError, match=peers[0].address):
            await End(peers, 1).transport.start()


async def test_a_refusal_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    peers = free_peers(2)
    async with End(peers, 1):
        for _ in range(5):
            stranger = await Stranger.connect(peers[0])
            stranger.say(hello(2, name="n9"))
            await stranger.rest()
            await stranger.close()
    assert caplog.text.count("has the id of another member") == 1
