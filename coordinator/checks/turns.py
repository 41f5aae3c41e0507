"""How many checks run at once, and who is next."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """A bounded number of places, in order of arrival. What failed last may take no more than half of them.

    So targets that answer nobody, each of which holds its place until its timeout, leave room for all others.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._suspects_most = max(1, most // 2)
        self._waiting: deque[T] = deque()
        self._suspects: deque[T] = deque()
        self._running: dict[T, bool] = {}
        self._suspects_running = 0

    @property
    def running(self) -> int:
        """Places that are taken."""
        return len(self._running)

    def ask(self, item: T, suspect: bool) -> None:
        """Takes note that an item wants a place; it waits for none yet."""
        (self._suspects if suspect else self._waiting).append(item)

    def next(self) -> T | None:
        """Gives a place to the next item; None: there is no place, or no item."""
        if len(self._running) >= self._most:
            return None
        if self._waiting:
            item, suspect = self._waiting.popleft(), False
        elif self._suspects and self._suspects_running < self._suspects_most:
            item, suspect = self._suspects.popleft(), True
        else:
            return None
        self._running[item] = suspect
        self._suspects_running += suspect
        return item

    def done(self, item: T) -> None:
        """The item's place is free again."""
        self._suspects_running -= self._running.pop(item)
