"""Clients that write and read a few keys, all at once, and remember what they did and what they were told."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from coordinator_client import aio
from coordinator_client.compares import Key
from coordinator_client.operations import Get as GetOperation
from coordinator_client.operations import Put as PutOperation
from tests.linearizability.history import Operation
from tests.linearizability.models import (
    Add,
    Answer,
    CounterInput,
    Delete,
    Get,
    Put,
    RegisterInput,
    Swap,
)

KEYS = 4
PAUSE_S_MAX = 0.03
TIMEOUT_S = 4.0
PINNED_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Effect:
    """A change that a client was told of: at `revision`, `key` became `value`; None: it was deleted."""

    revision: int
    key: str
    value: str | None
    called_s: float
    returned_s: float


@dataclass
class Trace:
    """What all clients of a round did and were told."""

    registers: list[Operation[RegisterInput, Answer]] = field(default_factory=list)
    counters: list[Operation[CounterInput, int]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    seen: list[tuple[str, str, int]] = field(default_factory=list)
    """Of reads that found something: key, value, and the revision that wrote it."""
    refused: list[str] = field(default_factory=list)
    """Values whose writes surely changed nothing, as clients were told."""
    acknowledged: int = 0
    unknown: int = 0
    reads: int = 0
    unanswered: int = 0
    """Reads without an answer."""
    odd: list[str] = field(default_factory=list)
    """Errors that no client should ever get from a cluster."""
    times: list[float] = field(default_factory=list)
    """When writes were acknowledged."""

    def longest_gap_s(self) -> float:
        """The longest time without an acknowledged write."""
        times = sorted(self.times)
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0)


class Worker:
    """One client: calls one operation after the other until it is told to stop."""

    def __init__(
        self,
        name: str,
        prefix: str,
        endpoints: Sequence[str],
        trace: Trace,
        seed: str,
        *,
        plain: bool,
    ) -> None:
        """`plain`: writes are not numbered, so that outcomes stay unknown; and each read asks one node, by chance, and
        waits for that one even if it is gone. Else the client is as users have it.
        """
        self.name = name
        self._prefix = prefix
        self._endpoints = endpoints
        self._trace = trace
        self._plain = plain
        self._rng = random.Random(seed)
        self._number = 0
        self._last_seen: dict[str, str | None] = {}

    async def run(self, stop: asyncio.Event) -> None:
        rng = self._rng
        order = rng.sample(self._endpoints, len(self._endpoints))
        pinned = self._endpoints if self._plain else []
        readers = [aio.connect(one, timeout_s=PINNED_TIMEOUT_S) for one in pinned]
        numbered = not self._plain
        try:
            async with aio.connect(
                order, timeout_s=TIMEOUT_S, shuffle=False, numbered_writes=numbered
            ) as writer:
                while not stop.is_set():
                    await self._step(writer, rng.choice(readers or [writer]))
                    await asyncio.sleep(rng.uniform(0, PAUSE_S_MAX))
        finally:
            for reader in readers:
                await reader.close()

    async def _step(self, writer: aio.Client, reader: aio.Client) -> None:
        key = f"{self._prefix}k{self._rng.randrange(KEYS)}"
        self._number += 1
        value = f"{self.name}.{self._number}"
        match self._rng.choices(("get", "put", "swap", "delete", "add"), (8, 5, 6, 2, 2))[0]:
            case "get":
                await self._get(reader, key)
            case "put":
                await self._write(writer, key, Put(value))
            case "swap":
                await self._write(writer, key, Swap(self._last_seen.get(key), value))
            case "delete":
                await self._write(writer, key, Delete())
            case _:
                await self._add(writer, value)

    async def _get(self, client: aio.Client, key: str) -> None:
        called_s = time.monotonic()
        try:
            found = await client.get(key)
        except (aio.Unavailable, aio.DeadlineExceeded):
            self._trace.unanswered += 1
            return
        except aio.CoordinatorError as error:
            self._trace.odd.append(f"get: {error!r}")
            return
        self._trace.reads += 1
        value = None if found is None else found.text
        self._note_register(key, Get(), Answer(value), called_s)
        self._last_seen[key] = value
        if found is not None:
            self._trace.seen.append((key, found.text, found.mod_revision))

    async def _write(self, client: aio.Client, key: str, input: Put | Swap | Delete) -> None:
        trace = self._trace
        written = None if isinstance(input, Delete) else input.value
        called_s = time.monotonic()
        try:
            revision, answer = await call(client, key, input)
        except aio.OutcomeUnknown:
            trace.unknown += 1
            trace.registers.append(Operation(self.name, key, input, None, called_s, None))
            return
        except (aio.Unavailable, aio.DeadlineExceeded, aio.LimitExceeded):
            if written is not None:
                trace.refused.append(written)
            return
        except aio.CoordinatorError as error:
            trace.odd.append(f"{input}: {error!r}")
            trace.registers.append(Operation(self.name, key, input, None, called_s, None))
            return
        now_s = self._note_register(key, input, answer, called_s)
        trace.acknowledged += 1
        trace.times.append(now_s)
        if answer.done:
            self._last_seen[key] = written
            if written is not None or answer.value is not None:
                trace.effects.append(Effect(revision, key, written, called_s, now_s))
        else:
            self._last_seen[key] = answer.value

    def _note_register(
        self, key: str, input: RegisterInput, answer: Answer, called_s: float
    ) -> float:
        now_s = time.monotonic()
        self._trace.registers.append(Operation(self.name, key, input, answer, called_s, now_s))
        return now_s

    async def _add(self, client: aio.Client, value: str) -> None:
        """A key with a sequence number: a counter that answers how often it was raised before."""
        trace, key = self._trace, f"{self._prefix}numbers/"
        called_s = time.monotonic()
        try:
            done = await client.put(key, value, sequence=True)
        except aio.OutcomeUnknown:
            trace.unknown += 1
            trace.counters.append(Operation(self.name, key, Add(1), None, called_s, None))
            return
        except (aio.Unavailable, aio.DeadlineExceeded, aio.LimitExceeded):
            trace.refused.append(value)
            return
        except aio.CoordinatorError as error:
            trace.odd.append(f"add: {error!r}")
            return
        now_s = time.monotonic()
        written = done.key.decode()
        total = int(written.removeprefix(key)) + 1
        trace.counters.append(Operation(self.name, key, Add(1), total, called_s, now_s))
        trace.effects.append(Effect(done.revision, written, value, called_s, now_s))
        trace.acknowledged += 1
        trace.times.append(now_s)


async def call(client: aio.Client, key: str, input: Put | Swap | Delete) -> tuple[int, Answer]:
    """Makes a write; returns its revision and what it answered."""
    match input:
        case Put(value):
            return (await client.put(key, value)).revision, Answer()
        case Delete():
            gone = await client.delete(key, prev=True)
            before = gone.prevs[0].text if gone.prevs else None
            return gone.revision, Answer(before)
        case Swap(expected, value):
            fits = Key(key).missing() if expected is None else Key(key).value == expected
            done = await (
                client.txn().when(fits).then(PutOperation(key, value)).otherwise(GetOperation(key))
            ).commit()
            if done.succeeded:
                return done.revision, Answer()
            found = done.responses[0]
            assert found is None or isinstance(found, aio.KeyValue)
            return done.revision, Answer(None if found is None else found.text, done=False)
