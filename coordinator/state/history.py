"""What changed at each revision since compaction, and what all of it comes to from any revision on."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

from coordinator.state.model import Batch


class History:
    """Batches of consecutive revisions: added at one end, and freed at the other."""

    def __init__(self, first_revision: int) -> None:
        self.batches: list[Batch] = []
        self.first_revision = first_revision
        """That of the first batch, were there one."""
        # Sums over all revisions up to the one before batches[i]: what lies between two is a difference.
        self._hashes = [0]
        self._sizes = array("Q", (0,))

    def __len__(self) -> int:
        return len(self.batches)

    def add(self, batch: Batch, hash: int, size_bytes: int) -> None:
        """Adds the next revision."""
        self.batches.append(batch)
        self._hashes.append(self._hashes[-1] + hash)
        self._sizes.append(self._sizes[-1] + size_bytes)

    def slice(self, revision: int, limit: int) -> list[Batch]:
        """Returns at most `limit` batches from a revision on, which is not freed."""
        start = revision - self.first_revision
        assert start >= 0
        return self.batches[start : start + limit]

    def hash_since(self, revision: int) -> int:
        """Returns the sum of the hashes of all later revisions."""
        return self._hashes[-1] - self._hashes[revision + 1 - self.first_revision]

    def size_since(self, revision: int) -> int:
        """Returns the size of all later revisions."""
        return self._sizes[-1] - self._sizes[revision + 1 - self.first_revision]

    def least_since(self, size_bytes_max: int) -> int:
        """Returns the least revision such that all later ones, freed ones apart, come to at most this size."""
        above = self._sizes[-1] - size_bytes_max
        return self.first_revision - 1 + (bisect_left(self._sizes, above) if above > 0 else 0)

    def free(self, count: int) -> None:
        """Forgets the oldest batches."""
        del self.batches[:count], self._hashes[:count], self._sizes[:count]
        self.first_revision += count

    def containers(self) -> Iterator[list[Any]]:
        """Yields all that takes memory in proportion to the content; arrays of numbers are freed in no time."""
        yield self.batches
        yield self._hashes
