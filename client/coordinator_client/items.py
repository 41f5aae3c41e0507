"""The layout of queues: which keys an item has, which items are free, and which of them to try for.

    /queues/<name>/items/<number>                          an item; its value is the key's
    /queues/<name>/claims/<number>                         somebody works on it; the key belongs to a session
    /priority-queues/<name>/items/<priority>-<number>      the same with priorities, six digits
    /priority-queues/<name>/claims/<priority>-<number>

Numbers have ten digits and come from the sequence of the parent, so that the order of the keys is that of the queue.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coordinator_client import validation
from coordinator_client.errors import InvalidArgument
from coordinator_client.model import EventBatch

__all__ = ["QueueItem"]

PRIORITY_MAX = 999_999
SPREAD_MAX = 32
"""Items among which one is taken by chance, at most, when many take at once."""
PAUSE_S = 0.001
"""For each item of the spread beyond the first: about what it takes to see that somebody else was faster."""


@dataclass(frozen=True)
class QueueItem:
    """An item of a queue."""

    id: str
    """Its place in the order of the queue; never given twice in one queue."""
    value: bytes
    priority: int | None = None
    """In a priority queue: what it was put with."""

    @property
    def text(self) -> str:
        """The value as UTF-8 text; raises UnicodeDecodeError if it is not."""
        return self.value.decode()


@dataclass(frozen=True)
class Layout:
    """Where the items of one queue are."""

    root: str

    @property
    def items(self) -> str:
        """The prefix of all items."""
        return f"{self.root}items/"

    @property
    def claims(self) -> str:
        """The prefix of all claims."""
        return f"{self.root}claims/"

    def id_of(self, key: bytes) -> str:
        """Returns the id of the item that a key, of an item or of a claim, belongs to."""
        return key.rpartition(b"/")[2].decode(errors="backslashreplace")

    def free(self, items: Iterable[bytes], claims: Iterable[bytes]) -> list[str]:
        """Returns the ids of the items that nobody has claimed, in their order."""
        claimed = {self.id_of(key) for key in claims}
        return [id for id in map(self.id_of, items) if id not in claimed]

    def brings_items(self, batch: EventBatch) -> bool:
        """Whether there may be an item after these changes that was not free before: put, or given back."""
        items, claims = self.items.encode(), self.claims.encode()
        gone = {self.id_of(e.key) for e in batch.events if not e.is_put and e.key.startswith(items)}
        return any(
            e.key.startswith(items)
            if e.is_put
            else e.key.startswith(claims) and self.id_of(e.key) not in gone
            for e in batch.events
        )


def item(id: str, value: bytes, *, with_priority: bool) -> QueueItem:
    """Returns the item that a key and its value describe."""
    digits = id.partition("-")[0]
    known = with_priority and digits.isascii() and digits.isdecimal()
    return QueueItem(id, value, int(digits) if known else None)


def priority_prefix(priority: int) -> str:
    """Returns what stands before the number of an item; the lower the priority, the sooner it is taken."""
    if validation.whole(priority, "priority") > PRIORITY_MAX:
        raise InvalidArgument(f"priority is {priority}, more than {PRIORITY_MAX}")
    return f"{priority:06}-"


class Spread:
    """Keeps those who take from the same queue out of each other's way.

    One who takes alone gets the first item each time. Who comes too late chooses by chance among the first two, then
    four, and so on, and goes back when it works out.
    """

    def __init__(self) -> None:
        self._width = 1

    def choose(self, free: Sequence[str]) -> str:
        """Returns the item to try for."""
        return free[random.randrange(min(self._width, len(free)))]

    def pause_s(self) -> float:
        """Returns how long to let others go ahead, in seconds, when all who waited are woken by one item."""
        return random.uniform(0.0, PAUSE_S) * (self._width - 1)

    def note(self, taken: bool) -> None:
        """Takes note of how an attempt went."""
        width = self._width // 2 if taken else self._width * 2
        self._width = min(max(width, 1), SPREAD_MAX)
