"""Frees a state that was replaced, bit by bit: dropping a million keys at once stands still for a third of a second."""

from __future__ import annotations

from typing import Any

from sortedcontainers import SortedList

from coordinator.state.keyspace import Keyspace
from coordinator.state.sessions import Sessions


class Leftovers:
    """States that nobody uses any more, but for holds that were taken of them before."""

    def __init__(self) -> None:
        self._states: list[tuple[Keyspace, Sessions]] = []

    def add(self, keyspace: Keyspace, sessions: Sessions) -> None:
        self._states.append((keyspace, sessions))

    @property
    def waiting(self) -> bool:
        """Whether `free` has something to do."""
        return any(not keyspace.pinned for keyspace, _ in self._states)

    def free(self, budget: int) -> bool:
        """Frees about `budget` records that no one holds; True if more is left."""
        for state in [state for state in self._states if not state[0].pinned]:
            keyspace, sessions = state
            for container in (*keyspace.containers(), *sessions.containers()):
                budget -= _empty(container, budget)
                if budget <= 0:
                    return True
            self._states.remove(state)
        return False


def _empty(container: dict[Any, Any] | list[Any] | SortedList, budget: int) -> int:
    """Takes at most `budget` records out of a container; returns how many it took."""
    count = min(len(container), budget)
    take = container.popitem if isinstance(container, dict) else container.pop
    for _ in range(count):
        take()
    return count
