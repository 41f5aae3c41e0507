"""The numbers of a client's writes: which ones are open, and up to where the cluster may forget results."""

from __future__ import annotations

__all__ = ["WINDOW_MAX", "Numbers"]

WINDOW_MAX = 1024
"""What the cluster keeps of one session; a client that has no more numbers in use is never refused for their count."""


class Numbers:
    """The numbers given out under one session, 1 at first, none of them twice.

    A number is open from `take` to `finish`. All numbers from the lowest open one on lie within a window, because the
    cluster keeps the results of all of these, finished or not: window 4, 7 open, 8 and 9 finished, and 10 is the last
    number to be had until 7 is finished. A number may be finished without a result, when nobody waits for it any more:
    the cluster then refuses what may still be on its way under it, once a later write says how far it may forget.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._next = 1
        self._lowest = 1
        self._open: set[int] = set()

    @property
    def acknowledged_below(self) -> int:
        """The lowest number still open, or the next one: results below it are not asked for again."""
        return self._lowest

    @property
    def room(self) -> int:
        """How many numbers can be taken now."""
        return self._window - (self._next - self._lowest)

    def take(self) -> int | None:
        """Returns a new number, which is open; None if the window is full."""
        if self.room <= 0:
            return None
        number = self._next
        self._next += 1
        self._open.add(number)
        return number

    def finish(self, number: int) -> None:
        """The number will not be sent again. Idempotent."""
        self._open.discard(number)
        while self._lowest < self._next and self._lowest not in self._open:
            self._lowest += 1
