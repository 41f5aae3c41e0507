"""Brings committed entries to the application, in order, each once."""

from __future__ import annotations

from collections.abc import Callable

from coordinator.consensus.engine.core import Core
from coordinator.consensus.engine.log import REGULAR
from coordinator.consensus.interface import Application
from coordinator.errors import FatalError


class Applier:
    """The apply loop."""

    def __init__(
        self, core: Core, application: Application, *, slice_s: float, more: Callable[[], None]
    ) -> None:
        """After `slice_s` seconds it stops for now and calls `more`: the rest of the loop has its turn."""
        self._core = core
        self._application = application
        self._slice_s = slice_s
        self._more = more

    def apply_committed(self) -> None:
        """Applies for a while. Raises FatalError if the application raises: it might have applied half an entry."""
        if self._core.applied_index < self._core.commit_index:
            deadline = self._core.now() + self._slice_s
            while self._core.applied_index < self._core.commit_index:
                self._apply_next()
                if self._core.now() > deadline:
                    self._more()
                    return

    def apply_all(self) -> None:
        """Applies all that is committed, however long it takes; for the start."""
        while self._core.applied_index < self._core.commit_index:
            self._apply_next()

    def _apply_next(self) -> None:
        index = self._core.applied_index + 1
        entry = self._core.entry(index)
        if entry is None:
            raise FatalError(f"committed entry {index} is not in the log")
        # The index moves first: whatever happens below, this entry is never applied a second time.
        self._core.applied_index = index
        if entry.content[:1] != REGULAR:
            return
        try:
            self._application.apply(index, entry.term, entry.content[1:])
        except Exception as error:
            raise FatalError(f"entry {index} can't be applied: {error!r}") from error
