"""How a client reaches a node: requests take time, get lost, and outlive neither the process nor the patience."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from coordinator.errors import RequestError
from tests.simulation.hosts import Host, Hosts
from tests.simulation.loop import Life
from tests.simulation.oracle import ObservedNode

T = TypeVar("T")

Answer = tuple[T, int]
"""(answer, number of the process that gave it)."""


class Unreached(Exception):
    """The request never arrived at a process."""


class Unanswered(Exception):
    """The request arrived, perhaps, and no answer came."""


async def wait_for_answer(life: Life, task: asyncio.Task[T], timeout_s: float) -> None:
    """Returns when a task of a process is done, when the process is over, or after a while."""
    # What comes of it after that is nobody's business.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    waiting: set[asyncio.Future[Any]] = {task, life.ended}
    await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)


class Caller:
    """One client's way to the nodes; it stays with a node that works."""

    def __init__(self, hosts: Hosts, chance: random.Random, restless: float) -> None:
        """`restless`: how probable it is that it turns to another node without a reason."""
        self.hosts = hosts
        self.chance = chance
        self.now = hosts.loop.time
        self._restless = restless
        self._chosen = 0

    def choose(self) -> Host | None:
        """The host to ask: the one of last time, or another one now and then."""
        running = self.hosts.running()
        if not running:
            return None
        known = self.hosts.all.get(self._chosen)
        if known is None or not known.up or self.chance.random() < self._restless:
            known = self.chance.choice(running)
            self._chosen = known.peer.id
        return known

    def turn_away(self) -> None:
        """The node did not help: take another next time."""
        self._chosen = 0

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(self.chance.uniform(0.2, 1.8) * seconds)

    async def call(
        self, start: Callable[[ObservedNode], Coroutine[Any, Any, T]], timeout_s: float
    ) -> Answer[T]:
        """Has a node do something. Raises Unreached, Unanswered or RequestError."""
        await asyncio.sleep(self.chance.uniform(1e-4, 3e-3))
        host = self.choose()
        if host is None or host.life is None or host.node is None:
            await asyncio.sleep(0.02)
            raise Unreached
        life = host.life
        task = life.spawn(start(host.node))
        await wait_for_answer(life, task, timeout_s)
        # An answer that was given when the process died may still have got through; this one did not.
        if not task.done() or life.over:
            self.turn_away()
            if self.chance.random() < 0.5:
                # The server notices that nobody waits any more.
                self.hosts.loop.after(0.0, life, task.cancel)
            raise Unanswered
        if self.chance.random() < 0.02:
            raise Unanswered
        await asyncio.sleep(self.chance.uniform(1e-4, 3e-3))
        try:
            return task.result(), life.number
        except RequestError:
            self.turn_away()
            raise
