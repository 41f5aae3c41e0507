"""Keeps a view of a service in a file while it changes."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

from coordinator_client import _io_async as io
from coordinator_client import stored_views
from coordinator_client.model import EventBatch
from coordinator_client.stored_views import KeyCopy, StoredView

SAVE_PAUSE_S = 1.0
"""From one writing of the file to the next, at least."""
SAVE_SHARE_MAX = 0.05
"""Of the time is spent on writing at most: a large view is written less often."""
JOIN_TIMEOUT_S = 10.0

_log = logging.getLogger("coordinator_client")


class ViewKeeper:
    """Writes what a view shows to a file, in the background, some time after it changed."""

    def __init__(self, path: Path, service: str) -> None:
        self._path = path
        self._service = service
        self._copy = KeyCopy(service)
        self._guard = io.Guard()
        self._news = io.Flag()
        self._stop = io.Flag()
        self._failing = False
        self._kept_revision = 0
        """Of what the file holds, as far as this program wrote it."""
        self._worker: io.Worker | None = None

    async def load(self) -> StoredView | None:
        """Returns what the file holds; None if it can't be used."""
        return await io.blocking(functools.partial(stored_views.load, self._path, self._service))

    def note(self, batch: EventBatch) -> None:
        """Takes what a cluster told."""
        with self._guard:
            self._copy.apply(batch)
        self._news.set()

    def start(self) -> None:
        """Begins to write."""
        self._worker = io.Worker(self._run, f"coordinator-keep-{self._service}")

    async def close(self) -> None:
        """Writes what was not written yet, and ends."""
        self._stop.set()
        self._news.set()
        if self._worker is not None:
            await self._worker.join(JOIN_TIMEOUT_S)

    async def _run(self) -> None:
        while not self._stop.is_set():
            await self._news.wait()
            began_s = io.now_s()
            await self._save()
            pause_s = (io.now_s() - began_s) / SAVE_SHARE_MAX
            await self._stop.wait(max(SAVE_PAUSE_S, pause_s))
        await self._save()

    async def _save(self) -> None:
        with self._guard:
            if not self._news.is_set():
                return
            self._news.clear()
            view = self._copy.view()
        if view.revision == self._kept_revision:
            return  # nothing new was told
        try:
            await io.blocking(functools.partial(stored_views.save, self._path, view))
        except (OSError, stored_views.Unstorable) as error:
            if not self._failing:
                _log.warning(
                    "the view of %s can't be kept in %s: %s", self._service, self._path, error
                )
            self._failing = True
        else:
            self._failing = False
            self._kept_revision = view.revision
