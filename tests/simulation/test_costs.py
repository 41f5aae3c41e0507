"""What things cost, counted instead of timed: a change that makes a sync, a message or a question more shows here."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from unittest import mock

from coordinator.consensus.codec import Append, AppendAck, Message, Payload, Probe, ReadRequest
from coordinator.state.commands import Put, SessionOpen, Write
from tests.simulation.hosts import Host
from tests.simulation.network import Network, SimTransport
from tests.simulation.oracle import ObservedNode
from tests.simulation.world import World, run
from tests.simulation.writers import propose

CALLERS = 64
ROUNDS = 30
OPERATIONS = CALLERS * ROUNDS
"""All callers begin at once, and then again when they have their answers: at best there is one of everything a round.

The limits leave room for half as much again.
"""


class Costs:
    """What was sent and synced since it began to count."""

    def __init__(self, world: World) -> None:
        self.messages: Counter[str] = Counter()
        self._world = world
        self._syncs = self._all_syncs()
        self._entries = world.scenario.oracle.entry_count

    def _all_syncs(self) -> dict[int, int]:
        return {number: host.disk.syncs for number, host in self._world.hosts.all.items()}

    @property
    def syncs(self) -> dict[int, int]:
        """By member."""
        return {number: count - self._syncs[number] for number, count in self._all_syncs().items()}

    @property
    def entries(self) -> int:
        return self._world.scenario.oracle.entry_count - self._entries


@contextmanager
def counted(world: World) -> Iterator[Costs]:
    costs = Costs(world)
    send = Network.send

    def count(network: Network, end: SimTransport, receiver: int, message: Message) -> bool:
        costs.messages[type(message).__name__] += 1
        return send(network, end, receiver, message)

    with mock.patch.object(Network, "send", count):
        yield costs


async def load(host: Host, operation: Callable[[ObservedNode, int], Awaitable[object]]) -> None:
    """Makes operations on a node: so many callers, each of which begins one when the last one is over."""
    node, life = host.node, host.life
    assert node is not None and life is not None

    async def call(number: int) -> None:
        for i in range(ROUNDS):
            await operation(node, number * ROUNDS + i)

    async def call_all() -> None:
        await asyncio.gather(*(call(number) for number in range(CALLERS)))

    await life.spawn(call_all())


async def write(node: ObservedNode, number: int) -> None:
    await propose(node, Write(Put(b"/costs/%d" % number, b"x" * 100)))


async def read(node: ObservedNode, number: int) -> None:
    await node.read(local=False, min_revision=0, deadline=asyncio.get_running_loop().time() + 5)


def test_writes_on_the_leader() -> None:
    async def work(world: World) -> None:
        leader = await world.start()
        with counted(world) as costs:
            await load(leader, write)
        assert costs.entries <= OPERATIONS / 45  # bundles
        assert all(syncs <= OPERATIONS / 40 for syncs in costs.syncs.values()), costs.syncs
        assert costs.messages[Append.__name__] <= OPERATIONS / 11, costs.messages
        assert costs.messages[AppendAck.__name__] <= OPERATIONS / 22, costs.messages

    run(1, 3, work)


def test_writes_on_a_follower() -> None:
    async def work(world: World) -> None:
        leader = await world.start()
        follower = world.hosts.all[world.followers(leader)[0]]
        with counted(world) as costs:
            await load(follower, write)
        assert costs.entries <= OPERATIONS / 45
        assert all(syncs <= OPERATIONS / 40 for syncs in costs.syncs.values()), costs.syncs
        assert costs.messages[Payload.__name__] <= OPERATIONS / 25, costs.messages

    run(1, 3, work)


def test_reads_wait_for_one_question_together() -> None:
    async def work(world: World) -> None:
        leader = await world.start()
        follower = world.hosts.all[world.followers(leader)[0]]
        with counted(world) as costs:
            await load(leader, read)
        assert costs.messages[Probe.__name__] <= OPERATIONS / 25, costs.messages
        with counted(world) as costs:
            await load(follower, read)
        assert costs.messages[ReadRequest.__name__] <= OPERATIONS / 25, costs.messages
        assert costs.messages[Probe.__name__] <= OPERATIONS / 25, costs.messages
        assert costs.entries == 0 and not any(costs.syncs.values())

    run(1, 3, work)


def test_keep_alives_never_touch_the_log() -> None:
    async def work(world: World) -> None:
        leader = await world.start()
        follower = world.hosts.all[world.followers(leader)[0]]

        async def open_session(node: ObservedNode, number: int) -> None:
            await propose(node, SessionOpen(number + 1, 60_000, None, ()))

        await load(follower, open_session)
        await asyncio.sleep(1)  # the last sync of another member may still be under way
        ids = range(1, OPERATIONS + 1)

        async def keep_alive(node: ObservedNode, number: int) -> None:
            deadline = asyncio.get_running_loop().time() + 5
            renewals = await node.keep_alive([ids[number]], deadline)
            assert renewals[0].ttl_ms == 60_000

        with counted(world) as costs:
            await load(follower, keep_alive)
        assert costs.entries == 0 and not any(costs.syncs.values())
        assert costs.messages[Payload.__name__] <= OPERATIONS / 25, costs.messages
        assert costs.messages[Probe.__name__] <= OPERATIONS / 25, costs.messages

    run(1, 3, work)


def test_nothing_happens_while_nothing_happens() -> None:
    async def work(world: World) -> None:
        await world.start()
        steps = world.scenario.loop.steps
        with counted(world) as costs:
            await asyncio.sleep(10)
        assert costs.entries == 0 and not any(costs.syncs.values())
        assert sum(costs.messages.values()) <= 10 * 10 * 2 * 2 * 1.1, costs.messages
        assert (world.scenario.loop.steps - steps) / 10 / 3 <= 100

    run(1, 3, work)
