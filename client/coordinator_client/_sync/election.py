# Generated from coordinator_client/_async/election.py by scripts/unasync.py; edit that file instead.
"""Elections: one of several candidates leads, and everybody can see who."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from coordinator_client import _io_sync as io
from coordinator_client import errors, model, turns, validation
from coordinator_client._sync.held import Held, put_guarded
from coordinator_client._sync.watch import Watch
from coordinator_client.operations import Put
from coordinator_client.turns import Leader, LeaderTable


class Leaders:
    """An iterator over the leaders of an election; made by `Election.observe`.

    It begins with who leads now, and goes on with every other leader and everything that one proclaims; None stands for
    nobody. Use it as a context manager, or call `close`.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._table = LeaderTable()
        self._began = False

    def next(self, timeout_s: float | None = None) -> Leader | None:
        """Returns the next leader; waits for it, at most `timeout_s` seconds, and for ever by default.

        Raises DeadlineExceeded after `timeout_s`, and Closed after `close`.
        """
        deadline_s = None if timeout_s is None else io.now_s() + validation.wait(timeout_s)
        while True:
            left_s = None if deadline_s is None else max(0.0, deadline_s - io.now_s())
            batch = self._watch.next(left_s)
            changed = self._table.apply(batch)
            if changed or not self._began:
                self._began = True
                return self._table.leader

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Leader | None:
        try:
            return self.next()
        except errors.Closed:
            raise StopIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the iteration."""
        self._watch.close()


class Election(Held):
    """An election in which this program may be a candidate, an observer, or both; made by `Client.election`.

    Used as a context manager, it resigns when the block is left. While it leads, `held` is true and `fence` is the
    number of its leadership; when it is cut off for the TTL, `lost` is set and the next candidate leads.
    """

    def campaign(self, value: str | bytes = b"", timeout_s: float | None = None) -> int:
        """Stands as a candidate and waits until it leads, at most `timeout_s` seconds; returns the fence.

        `value`: what it proclaims, such as its address. The candidates lead in the order in which they stood up.
        Raises DeadlineExceeded after `timeout_s` (0: leads only if nobody does) and SessionLost; it is no candidate
        then, nor after a cancellation. While it leads, another campaign raises RequestRefused.
        """
        return self._claim(value, timeout_s)

    def proclaim(self, value: str | bytes, *, timeout_s: float | None = None) -> None:
        """Changes what it proclaims; raises FenceStale if it does not lead (any more)."""
        place = self._place
        if place is None:
            raise errors.FenceStale("it does not lead")
        operation = Put(place.key, value, place.session)
        put_guarded(self._queue.keys, place.guard(), operation, timeout_s)

    def resign(self) -> bool:
        """Lets the next candidate lead; returns whether it led until then. Resigning again does nothing."""
        return self._give_back()

    def leader(self) -> Leader | None:
        """Returns who leads now; None if there is no candidate."""
        candidates: list[model.KeyValue] = []
        for kv in self._queue.keys.range_all(self._queue.prefix, prefix=True):
            candidates.append(kv)
        return turns.leader_of(candidates)

    def observe(self) -> Leaders:
        """Returns a new iterator over the leaders."""
        return Leaders(self._queue.keys.watch(self._queue.prefix, prefix=True, snapshot=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        holding = self._place is not None
        self._check_kept(holding=holding, kept=self.resign(), error=error)
