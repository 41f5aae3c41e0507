"""Several members of one engine, over links that are slow, silent or broken as a scenario wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.audit.member import Member, Setting
from tests.audit.scenario import Bench

Waiting = tuple[float, int, int, Any]
"""When a message arrives, from whom, for whom, and the message."""


class Cluster:
    """Members 1 to `count`. Messages over one link arrive in order; those on their way over a broken one are lost."""

    def __init__(self, bench: Bench, setting: Setting) -> None:
        self.clock = bench.clock
        self.members = {
            number: bench.make(setting, number) for number in range(1, setting.count + 1)
        }
        self.delay_s: dict[tuple[int, int], float] = {}
        """One way; 0 where nothing is said."""
        self.silent: set[frozenset[int]] = set()
        """Pairs whose connection stands, and carries nothing."""
        self.observe: Callable[[Member], None] = lambda _: None
        """Called after every message that a member was given."""
        self._waiting: list[Waiting] = []

    @classmethod
    async def start(cls, bench: Bench, **values: Any) -> Cluster:
        cluster = cls(bench, bench.setting(**values))
        await cluster.restart_all()
        return cluster

    async def restart_all(self) -> None:
        self._waiting.clear()
        for member in self.members.values():
            await member.start()
        for member in self.members.values():
            for other in member.others:
                member.connect(other)
            await member.settle()

    def isolate(self, number: int) -> None:
        """Nobody hears of this member any more, and nobody notices."""
        for other in self.members[number].others:
            self.silent.add(frozenset({number, other}))

    def mend(self, number: int) -> None:
        for other in self.members[number].others:
            self.silent.discard(frozenset({number, other}))

    def reset(self, one: int, two: int) -> None:
        """The connection breaks, and another one is made."""
        self._waiting = [message for message in self._waiting if {one, two} != set(message[1:3])]
        for change in (Member.disconnect, Member.connect):
            for number, other in ((one, two), (two, one)):
                getattr(self.members[number], change.__name__)(other)

    def _post(self) -> None:
        for number, member in self.members.items():
            sent, member.outbox[:] = list(member.outbox), []
            for receiver, native in sent:
                if frozenset({number, receiver}) not in self.silent:
                    arrival = self.clock.now + self.delay_s.get((number, receiver), 0)
                    self._waiting.append((arrival, number, receiver, native))

    async def _carry(self) -> None:
        """Delivers what is due until nothing is."""
        for _ in range(20):
            self._post()
            due = [message for message in self._waiting if message[0] <= self.clock.now]
            if not due:
                return
            self._waiting = [message for message in self._waiting if message[0] > self.clock.now]
            for _, sender, receiver, native in due:
                if frozenset({sender, receiver}) not in self.silent:
                    self.members[receiver].deliver(sender, native)
                    self.observe(self.members[receiver])
            for member in self.members.values():
                await member.settle()

    async def step(self, seconds: float = 1.0) -> None:
        self.clock.now += seconds
        for member in self.members.values():
            await member.settle()
        await self._carry()

    async def run(self, done: Callable[[], bool], seconds: float = 1_000) -> None:
        """Lets time pass until something is the case."""
        assert await self.happens(done, seconds), "it did not come to that"

    async def happens(self, done: Callable[[], bool], seconds: float) -> bool:
        end = self.clock.now + seconds
        while not done():
            if self.clock.now > end:
                return False
            await self.step()
        return True

    async def elect(self, number: int) -> Member:
        """Lets a member's election timeout end first; returns it once it leads and all that is committed is applied."""
        member = self.members[number]
        member.expire()
        await self.run(lambda: member.leads and member.applied_index >= member.last_index)
        return member
