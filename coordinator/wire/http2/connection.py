"""A connection of a server, without any input or output: bytes to events, calls to bytes (RFC 9113)."""

from __future__ import annotations

from coordinator.wire.http2.counters import Counters
from coordinator.wire.http2.events import Ended, Event
from coordinator.wire.http2.failures import ConnectionFailure
from coordinator.wire.http2.frames import (
    CONTINUATION,
    FRAME_SIZE_BYTES_DEFAULT,
    HEAD,
    HEAD_SIZE_BYTES,
    HEADER_TABLE_SIZE,
    HEADER_TABLE_SIZE_BYTES_DEFAULT,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    PREFACE,
    SETTINGS,
    STREAM_ID_MAX,
    WINDOW_DEFAULT,
    Code,
    goaway,
    ping,
    settings,
    window_update,
)
from coordinator.wire.http2.limits import Http2Limits
from coordinator.wire.http2.requests import RECEIVERS, Requests

_unpack_head = HEAD.unpack_from


class Connection(Requests):
    """The server's end of one connection.

    Give `receive` whatever comes, act on the events, and write what `output` returns whenever something was received
    or sent. While the transport takes nothing more, don't ask for output: what piles up inside is bounded, and a
    client that makes it grow by control frames is sent away.
    """

    def __init__(self, limits: Http2Limits, counters: Counters) -> None:
        super().__init__(limits, counters)
        self._held = bytearray()  # The beginning of a frame that is not complete.
        self._needed = 0  # The size at which it is worth looking at again.
        self._over = False
        self.greeted = False
        self.foreign = False

    greeted: bool
    """Whether the client's preface came; until then nothing is written."""
    foreign: bool
    """Whether the connection begins with something else; `opening` is what it was."""

    @property
    def settled(self) -> bool:
        """Whether the client's SETTINGS came, too, with which it has begun (RFC 9113, section 3.4)."""
        return self.greeted and self._kind_due != SETTINGS

    @property
    def opening(self) -> bytes:
        """What came before the preface was complete or was found to be something else."""
        return b"" if self.greeted else bytes(self._held)

    @property
    def ended(self) -> bool:
        """Whether `Ended` was told."""
        return self._over

    def begin(self) -> None:
        """Queues our SETTINGS, which are written once the client's preface came (RFC 9113, section 3.4)."""
        limits = self._limits
        values = [
            (MAX_CONCURRENT_STREAMS, limits.streams_max),
            (INITIAL_WINDOW_SIZE, limits.stream_window_bytes),
            (MAX_HEADER_LIST_SIZE, limits.header_list_size_bytes_max),
        ]
        if limits.header_table_size_bytes != HEADER_TABLE_SIZE_BYTES_DEFAULT:
            values.append((HEADER_TABLE_SIZE, limits.header_table_size_bytes))
        if limits.frame_size_bytes_max != FRAME_SIZE_BYTES_DEFAULT:
            values.append((MAX_FRAME_SIZE, limits.frame_size_bytes_max))
        self._out.append(settings(values))
        if limits.connection_window_bytes > WINDOW_DEFAULT:
            increment = limits.connection_window_bytes - WINDOW_DEFAULT
            self._out.append(window_update(0, increment))

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Returns what happened in the bytes that came at `now`, a monotonic time in seconds. Never raises."""
        events: list[Event] = []
        if self._over:
            return events
        self._now = now
        try:
            if self._needed:
                held = self._held
                held += data
                if len(held) < self._needed:
                    return events
                data = bytes(held)
                held.clear()
                self._needed = 0
            position = 0 if self.greeted else self._greet(data)
            if self.greeted:
                self._read_frames(data, position, events)
        except ConnectionFailure as failure:
            self._fail(failure, events)
        return events

    def output(self) -> list[bytes]:
        """Takes what is to be written now, in order."""
        if not self.greeted:
            return []
        if self._ready:
            self._send_waiting(held_back=False)
        out = self._out
        self._out = []
        self._control_bytes = 0
        return out

    def ping(self, payload: bytes) -> None:
        """Asks the client for a sign of life; `payload`: 8 bytes, told again by `Ponged`."""
        if not self._over:
            self._out.append(ping(payload))

    def shut_down(self) -> None:
        """Asks the client to open no more streams; those that it opens all the same are served until `finish`."""
        if not self._over:
            self._out.append(goaway(STREAM_ID_MAX, Code.NO_ERROR, b""))

    def finish(self, code: int = Code.NO_ERROR, reason: bytes = b"") -> None:
        """Tells the client which streams were served; newer ones are ignored (RFC 9113, section 6.8)."""
        if not self._over:
            self._out.append(goaway(self._close_streams(), code, reason))

    def _greet(self, data: bytes) -> int:
        """Compares the preface; returns where it ends."""
        size = len(PREFACE)
        if data.startswith(PREFACE):
            self.greeted = True
            return size
        self._held += data
        if not PREFACE.startswith(data):
            self.foreign = True
            self._counters.count("foreign_preface")
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "no HTTP/2 preface")
        self._needed = len(data) + 1
        return 0

    def _read_frames(self, data: bytes, position: int, events: list[Event]) -> None:
        size = len(data)
        receivers = RECEIVERS
        size_max = self._limits.frame_size_bytes_max
        while True:
            start = position + HEAD_SIZE_BYTES
            if start > size:
                self._needed = HEAD_SIZE_BYTES
                break
            word, flags, stream_id = _unpack_head(data, position)
            end = start + (word >> 8)
            if end > size or end - start > size_max:
                if end - start > size_max:
                    raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "frame too large")
                self._needed = end - position
                break
            kind = word & 0xFF
            if self._kind_due is not None and kind != self._kind_due:
                raise ConnectionFailure(Code.PROTOCOL_ERROR, self._misplaced())
            position = end
            receivers[kind](self, flags, stream_id & STREAM_ID_MAX, data[start:end], events)
        if position < size:
            self._held += data[position:]
        elif position == size:
            self._needed = 0

    def _misplaced(self) -> str:
        return "frame inside a header block" if self._kind_due == CONTINUATION else "no SETTINGS"

    def _close_streams(self) -> int:
        """Begins to ignore new streams; returns the last one that counts, which never changes any more."""
        if self._final_stream_id is None:
            self._final_stream_id = self._last_stream_id
        return self._final_stream_id

    def _fail(self, failure: ConnectionFailure, events: list[Event]) -> None:
        """Says goodbye, forgets all streams and tells of the end."""
        self._over = True
        self._kind_due = None
        if not self.foreign:
            self._held.clear()
            self._counters.count_failure(failure.code)
        self._out.append(goaway(self._close_streams(), failure.code, failure.reason.encode()))
        self._streams.clear()
        self._ready.clear()
        self.unsent_total = 0
        events.append(Ended(failure.code, failure.reason))
