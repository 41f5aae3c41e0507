"""When what is due: one heap for all checks of a node."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

T = TypeVar("T")


class Schedule(Generic[T]):
    """Items with the time at which each is due. An item is in it once."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._entries: dict[T, int] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, item: T, due: float) -> None:
        """Sets when an item is due, whether it was in or not."""
        self._number += 1
        self._entries[item] = self._number
        heapq.heappush(self._heap, (due, self._number, item))
        if len(self._heap) > 2 * len(self._entries) + 16:
            self._heap = [entry for entry in self._heap if self._stands(entry)]
            heapq.heapify(self._heap)

    def remove(self, item: T) -> None:
        """The item is not due any more."""
        self._entries.pop(item, None)

    def take(self, now: float, most: int) -> list[T]:
        """Takes out what is due, the earliest first, and at most so many."""
        taken: list[T] = []
        while len(taken) < most and (due := self.next_due()) is not None and due <= now:
            item = heapq.heappop(self._heap)[2]
            del self._entries[item]
            taken.append(item)
        return taken

    def next_due(self) -> float | None:
        """Returns when the next item is due; None: there is none."""
        while self._heap and not self._stands(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _stands(self, entry: tuple[float, int, T]) -> bool:
        return self._entries.get(entry[2]) == entry[1]
