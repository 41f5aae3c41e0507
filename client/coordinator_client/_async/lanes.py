"""Many watches on one stream: each has a lane, and a slow reader holds up no other."""

from __future__ import annotations

import itertools

from coordinator_client import _io_async as io
from coordinator_client.failures import CallFailed, Failure
from coordinator_client.pb import watch_pb2
from coordinator_client.updates import Update, updates

LANES_MAX = 1_000
"""Watches on one stream; beyond that, a client opens another."""
LANE_UPDATES_MAX = 1_024
LANE_SIZE_BYTES_MAX = 4 * 1024 * 1024
"""What waits for a slow reader in a lane, about; with more, its watch is given up and begins again where it is."""


class Lagged(Exception):
    """The reader was too slow: the watch is to be begun again, at the revision that it has come to."""


class Lane:
    """One watch's share of a stream; for one reader."""

    def __init__(self, lanes: Lanes, watch_id: int) -> None:
        self._lanes = lanes
        self._watch_id = watch_id
        self._mailbox = io.Mailbox[Update | Failure | Lagged]()
        self._end: Failure | Lagged | None = None
        # Each is written at one end only.
        self._size_put_bytes = 0
        self._size_taken_bytes = 0

    @property
    def endpoint(self) -> str:
        """Where the stream goes."""
        return self._lanes.endpoint

    def begin(self, create: watch_pb2.WatchCreate) -> None:
        """Asks for the watch."""
        create.watch_id = self._watch_id
        create.grouped = True
        self._lanes.send(watch_pb2.WatchRequest(create=create))

    def request_progress(self) -> None:
        """Asks how far the node is."""
        progress = watch_pb2.WatchProgress(watch_id=self._watch_id)
        self._lanes.send(watch_pb2.WatchRequest(progress=progress))

    async def next(self, timeout_s: float | None = None) -> Update:
        """Returns what the watch is told next.

        Raises TimeoutError, CallFailed when the stream has ended, and Lagged when the watch is to be begun again.
        """
        if self._end is None:
            update = await self._mailbox.next(timeout_s)
            if isinstance(update, Update):
                self._size_taken_bytes += _counted_bytes(update)
                return update
            self._end = update
        if isinstance(self._end, Failure):
            raise CallFailed(self._end)
        raise Lagged

    def cancel(self) -> None:
        """Ends the watch; a waiting `next` raises CallFailed."""
        if self._end is None:
            self._end = io.CANCELED
            self._lanes.leave(self._watch_id)
            self._mailbox.put(io.CANCELED)

    # --- for the stream -------------------------------------------------------------------------

    def put(self, update: Update) -> bool:
        """Takes what the watch is told; returns False if too much waits already."""
        held_bytes = self._size_put_bytes - self._size_taken_bytes
        full = len(self._mailbox) >= LANE_UPDATES_MAX or held_bytes >= LANE_SIZE_BYTES_MAX
        if full and update.kind != "snapshot":
            return False
        self._size_put_bytes += _counted_bytes(update)
        self._mailbox.put(update)
        return True

    def end(self, why: Failure | Lagged) -> None:
        """Nothing more will come."""
        self._mailbox.put(why)


def _counted_bytes(update: Update) -> int:
    # Of a snapshot the reader makes one piece, however long that takes: it is not begun again for that.
    return 0 if update.kind == "snapshot" else update.size_bytes


class Lanes:
    """One stream and its watches. It ends with its last watch."""

    def __init__(self, stream: io.Stream[watch_pb2.WatchRequest, watch_pb2.WatchResponse]) -> None:
        self._stream = stream
        self._guard = io.Guard()
        self._lanes: dict[int, Lane] = {}
        self._watch_ids = itertools.count(1)
        self._ended: Failure | None = None
        self._worker = io.Worker(self._run, "coordinator-watches")

    @property
    def endpoint(self) -> str:
        """Where the stream goes."""
        return self._stream.endpoint

    def open(self) -> Lane | None:
        """Returns a new lane; None if the stream has ended or has no room."""
        with self._guard:
            if self._ended is not None or len(self._lanes) >= LANES_MAX:
                return None
            watch_id = next(self._watch_ids)
            lane = self._lanes[watch_id] = Lane(self, watch_id)
            return lane

    def send(self, request: watch_pb2.WatchRequest) -> None:
        """Sends a request."""
        self._stream.send(request)

    def leave(self, watch_id: int) -> None:
        """A watch is over. Idempotent."""
        with self._guard:
            if self._lanes.pop(watch_id, None) is None or self._ended is not None:
                return
            last = not self._lanes
            if last:
                self._ended = io.CANCELED
        if last:
            self._stream.cancel()
        else:
            cancel = watch_pb2.WatchCancel(watch_id=watch_id)
            self._stream.send(watch_pb2.WatchRequest(cancel=cancel))

    async def _run(self) -> None:
        try:
            while True:
                self._take(await self._stream.next())
        except CallFailed as failed:
            with self._guard:
                self._ended = failed.failure
                lanes = list(self._lanes.values())
                self._lanes.clear()
            for lane in lanes:
                lane.end(failed.failure)

    def _take(self, message: watch_pb2.WatchResponse) -> None:
        for update, watch_ids in updates(message):
            for watch_id in watch_ids:
                lane = self._lanes.get(watch_id)
                if lane is not None and not lane.put(update):
                    self.leave(watch_id)
                    lane.end(Lagged())
