"""Counts the whole state anew, step by step on the loop, and compares with what was kept up to date with every change.

A difference means that memory holds something else than what was applied: a flipped bit, or a mistake in the code.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import msgspec

from coordinator.state.hold import PAGE_RECORDS_MAX, Hold
from coordinator.state.model import Batch
from coordinator.state.sessions import Requests, size_of_session
from coordinator.state.tally import (
    RECORD_OVERHEAD_BYTES,
    Tally,
    encode,
    hash_of,
    hash_of_floor,
    hash_of_result,
    size_of_key,
    weigh,
)


class Finding(msgspec.Struct, frozen=True):
    """What a scrub came to."""

    revision: int
    """Of the state that was looked at."""
    damaged: tuple[str, ...]
    """The parts, named as in `Tally`, that are not what was kept; empty: all is well."""


Step = Generator[int, None, int]
"""Yields how many records were looked at since the last time; returns a sum of hashes."""


class Scrub:
    """Looks at the state as it was when the scrub began, while the machine goes on."""

    def __init__(self, hold: Hold, kept: Tally) -> None:
        self._hold = hold
        self._kept = kept
        self._size = 0
        self._found: list[int] = []
        self._steps: Iterator[int] = self._run()
        self._finding: Finding | None = None

    def step(self, budget: int) -> Finding | None:
        """Looks at about as many records as `budget` says, at least at a page; on the loop.

        Returns None while there is more to look at, then the finding.
        """
        while self._finding is None and budget > 0:
            looked_at = next(self._steps, None)
            if looked_at is None:
                self._finish()
            else:
                budget -= looked_at
        return self._finding

    def release(self) -> None:
        """Calls it off, or does nothing after it is done. No step may follow."""
        self._hold.release()

    def _finish(self) -> None:
        keys, history, sessions, results, counters = self._found
        found = Tally(keys, history, sessions, results, counters, self._size)
        damaged = [
            name
            for name, one, other in zip(Tally._fields, self._kept, found, strict=True)
            if one != other
        ]
        self._finding = Finding(self._hold.head.revision, tuple(damaged))
        self._hold.release()

    def _run(self) -> Iterator[int]:
        for part in (
            self._keys(),
            self._history(),
            self._sessions(),
            self._results(),
            self._counters(),
        ):
            self._found.append((yield from part))

    def _keys(self) -> Step:
        sum = 0
        for page in self._hold.keys_now():
            for kv in page:
                sum += hash_of(kv)
                self._size += size_of_key(kv)
            yield len(page) + 1
        return sum

    def _history(self) -> Step:
        sum = 0
        for batch in self._hold.batches():
            sum += yield from self._batch(batch)
        return sum

    def _batch(self, batch: Batch) -> Step:
        sum = 0
        for place, event in enumerate(batch.events):
            _, _, hash, size = weigh(batch.revision, place, event)
            sum += hash
            self._size += size
            if not (place + 1) % PAGE_RECORDS_MAX:
                yield PAGE_RECORDS_MAX
        yield len(batch.events) % PAGE_RECORDS_MAX
        return sum

    def _sessions(self) -> Step:
        sum = 0
        for page in self._hold.sessions.sessions():
            for session, _ in page:
                sum += hash_of(session)
                self._size += size_of_session(session)
            yield len(page) + 1
        return sum

    def _results(self) -> Step:
        sum = 0
        for page in self._hold.sessions.requests():
            for id, requests in page:
                sum += self._requests(id, requests)
                yield len(requests.results) + 1
        return sum

    def _requests(self, id: int, requests: Requests) -> int:
        sum = hash_of_floor(id, requests.floor)
        for sequence, kept in requests.results.items():
            encoded = encode(kept.result)
            sum += hash_of_result(id, sequence, kept.revision, encoded)
            self._size += len(encoded) + RECORD_OVERHEAD_BYTES
        return sum

    def _counters(self) -> Step:
        sum = 0
        for page in self._hold.counters():
            for parent, number in page:
                sum += hash_of((parent, number))
                self._size += len(parent) + RECORD_OVERHEAD_BYTES
            yield len(page) + 1
        return sum
