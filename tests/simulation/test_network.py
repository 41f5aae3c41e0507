"""The simulated network: what each end sees."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from coordinator.consensus.codec import Message, Payload, Probe
from coordinator.consensus.settings import EngineConfig
from tests.simulation.hosts import make_peer
from tests.simulation.loop import Life, SimLoop, simulated
from tests.simulation.network import Network, SimTransport
from tests.simulation.trace import Trace

PEERS = tuple(make_peer(number) for number in (1, 2, 3))


class Notes:
    """A listener that takes down what it is told."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.numbers: list[int] = []

    def peer_connected(self, member: int, client_address: str) -> None:
        self.seen.append(f"+{member}")

    def peer_refused(self, member: int) -> None:
        self.seen.append(f"!{member}")

    def peer_lost(self, member: int) -> None:
        self.seen.append(f"-{member}")

    def peer_writable(self, member: int) -> None:
        self.seen.append(f"w{member}")

    def message_received(self, member: int, message: Message) -> None:
        if isinstance(message, Probe):
            self.numbers.append(message.round)
        elif isinstance(message, Payload):
            self.numbers.append(len(message.content))

    def removed(self) -> None:
        self.seen.append("removed")


class Stage:
    """Two or three members that only note what happens."""

    def __init__(self, loop: SimLoop, *, faithless: bool = False, window_bytes: int = 0) -> None:
        self.network = Network(
            loop,
            random.Random(1),
            Trace(loop),
            faithless=faithless,
            window_bytes=window_bytes,
        )
        self.lives = {peer.id: Life(loop, peer.id) for peer in PEERS}
        self.notes = {peer.id: Notes() for peer in PEERS}
        self.ends = {peer.id: self._end(peer.id) for peer in PEERS}

    def _end(self, member: int) -> SimTransport:
        config = EngineConfig(
            name=f"n{member}",
            peers=PEERS,
            cluster_key=1,
            data_dir=Path("unused"),
            client_address=f"client:{member}",
        )
        end = SimTransport(self.network, self.lives[member], config, self.notes[member])
        end.set_peers(PEERS, ())
        return end

    async def connect(self, *members: int) -> None:
        for member in members:
            await self.ends[member].start()
        await asyncio.sleep(1.5)


def staged(
    work: Callable[[Stage], Coroutine[object, object, None]],
    *,
    faithless: bool = False,
    window_bytes: int = 0,
) -> Stage:
    with simulated() as loop:
        stage = Stage(loop, faithless=faithless, window_bytes=window_bytes)
        loop.run_until_complete(work(stage))
        assert not loop.complaints
    return stage


def test_messages_arrive_in_order() -> None:
    async def work(stage: Stage) -> None:
        await stage.connect(1, 2)
        for number in range(50):
            assert stage.ends[1].send(2, Probe(1, number))
        await asyncio.sleep(1)

    stage = staged(work)
    assert stage.notes[2].numbers == list(range(50))
    assert stage.notes[1].seen == ["+2"]
    assert stage.notes[2].seen == ["+1"]


def test_a_reset_takes_along_what_is_on_its_way() -> None:
    async def work(stage: Stage) -> None:
        await stage.connect(1, 2)
        stage.network.path(1, 2).delay_s = (0.1, 0.1)
        stage.ends[1].send(2, Probe(1, 1))
        stage.network.reset(1, 2)
        await asyncio.sleep(3)
        stage.ends[1].send(2, Probe(1, 2))
        await asyncio.sleep(1)

    stage = staged(work)
    assert stage.notes[2].numbers == [2]
    assert stage.notes[1].seen == ["+2", "-2", "+2"]


@pytest.mark.parametrize("survive", [True, False])
def test_a_silent_path_holds_messages(survive: bool) -> None:
    async def work(stage: Stage) -> None:
        await stage.connect(1, 2)
        stage.network.block(1, 2)
        stage.ends[1].send(2, Probe(1, 1))
        await asyncio.sleep(0.5)
        assert stage.notes[2].numbers == []
        stage.network.unblock(1, 2, survive=survive)
        await asyncio.sleep(1)

    stage = staged(work)
    assert stage.notes[2].numbers in (([1],) if survive else ([], [1]))


def test_a_path_that_stays_silent_is_given_up_by_both_ends() -> None:
    async def work(stage: Stage) -> None:
        await stage.connect(1, 2)
        stage.network.block(1, 2)
        await asyncio.sleep(5)
        assert not stage.ends[1].connected(2)
        assert not stage.ends[2].connected(1)
        stage.network.unblock(1, 2, survive=True)
        await asyncio.sleep(2)
        assert stage.ends[1].connected(2)

    staged(work)


def test_a_process_that_is_gone_is_noticed_at_once_or_by_its_silence() -> None:
    async def work(stage: Stage) -> None:
        await stage.connect(1, 2, 3)
        stage.lives[2].end()
        stage.network.leave(stage.ends[2], announce=True)
        stage.lives[3].end()
        stage.network.leave(stage.ends[3], announce=False)
        await asyncio.sleep(0.5)
        assert stage.notes[1].seen[-2:] == ["-2", "!2"]
        await asyncio.sleep(5)
        assert stage.notes[1].seen[-1] == "-3", "a machine without power refuses nothing"

    staged(work)


def test_a_full_window_refuses_and_tells_when_there_is_room() -> None:
    async def work(stage: Stage) -> None:
        await stage.connect(1, 2)
        assert stage.ends[1].send(2, Payload(bytes(200)))
        assert not stage.ends[1].send(2, Payload(bytes(200)))
        await asyncio.sleep(1)
        assert stage.notes[1].seen[-1] == "w2"
        stage.network.clog(1, 2, True)
        assert not stage.ends[1].send(2, Payload(b"1"))
        stage.network.clog(1, 2, False)
        await asyncio.sleep(1)
        assert stage.notes[1].seen[-2:] == ["w2", "w2"]

    staged(work, window_bytes=100)


def test_a_member_that_was_removed_is_told() -> None:
    async def work(stage: Stage) -> None:
        stage.ends[1].set_peers(PEERS[:2], {3})
        await stage.connect(1, 3)

    assert "removed" in staged(work).notes[3].seen


def test_without_faith_messages_come_twice_and_late_but_not_those_of_the_application() -> None:
    async def work(stage: Stage) -> None:
        await stage.connect(1, 2)
        for number in range(100):
            stage.ends[1].send(2, Probe(1, number))
            stage.ends[1].send(2, Payload(bytes(1_000 + number)))
        await asyncio.sleep(3)

    numbers = staged(work, faithless=True).notes[2].numbers
    probes = [number for number in numbers if number < 1_000]
    payloads = [number for number in numbers if number >= 1_000]
    assert len(probes) > 100
    assert probes != sorted(probes)
    assert payloads == list(range(1_000, 1_100))
