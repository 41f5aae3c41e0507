"""Keeps the garbage collector from walking over a large state again and again.

A full collection looks at every key of the index: with a million keys that alone holds everything up for 15 ms. What
lives for long is put where the collector does not look, once whenever the state has doubled, and right after a full
collection, so that no garbage is put there.
"""

from __future__ import annotations

import gc

KEYS_MIN = 50_000
"""A smaller state costs the collector less than it is worth."""


class Heap:
    """The objects of this process, as far as they live for long."""

    def __init__(self) -> None:
        self._keys = 0

    def settle(self, keys: int) -> bool:
        """Takes note of the size of the state, in keys; returns whether it was put out of the collector's sight."""
        if keys < max(KEYS_MIN, 2 * self._keys):
            return False
        self.freeze(keys)
        return True

    def freeze(self, keys: int = 0) -> None:
        """Puts all that lives now out of the collector's sight."""
        self._keys = max(self._keys, keys)
        gc.collect()
        gc.freeze()
