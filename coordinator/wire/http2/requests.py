"""Frames about requests: DATA, HEADERS, CONTINUATION, RST_STREAM and PRIORITY (RFC 9113, section 6)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from coordinator.wire.http2.control import Control
from coordinator.wire.http2.counters import Counters
from coordinator.wire.http2.events import Content, Event, Headers, Reset, Trailers
from coordinator.wire.http2.failures import ConnectionFailure, ListTooLarge, Malformed
from coordinator.wire.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITIZED,
    PRIORITY,
    PRIORITY_UPDATE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Code,
    window_update,
)
from coordinator.wire.http2.limits import Http2Limits
from coordinator.wire.http2.streams import Stream

GAPS_MAX = 16
"""Runs of stream ids that a client left out and that are remembered, to tell them from closed streams."""


class Requests(Control):
    """What the client may do on streams, and what becomes of it when it does anything else."""

    def __init__(self, limits: Http2Limits, counters: Counters) -> None:
        super().__init__(limits, counters)
        self._gaps: deque[tuple[int, int]] = deque(maxlen=GAPS_MAX)
        # The last stream that is served, once that is decided.
        self._final_stream_id: int | None = None
        # Of a header block that is not complete: its stream, flags and pieces.
        self._block_stream_id = 0
        self._block_flags = 0
        self._block_pieces: list[bytes] = []
        self._block_size = 0

    # DATA (section 6.1)

    def _receive_data(
        self, flags: int, stream_id: int, payload: bytes, events: list[Event]
    ) -> None:
        size = len(payload)
        credit = self._credit
        credit.take(size)
        if credit.owed >= credit.window and credit.owed:
            self._out.append(window_update(0, credit.give_back()))
        stream = self._streams.get(stream_id)
        if stream is None:
            self._release(size)
            self._receive_late_data(stream_id, size)
            return
        stream.unread += size
        if stream.request_ended:
            self._break(stream, Code.STREAM_CLOSED, events)
            return
        stream.window_in -= size
        if stream.window_in < 0:
            self._counters.count("flow_control_errors")
            self._break(stream, Code.FLOW_CONTROL_ERROR, events)
            return
        if flags & PADDED:
            payload = self._strip_padding(payload)
        ended = bool(flags & END_STREAM)
        if stream.expected >= 0:
            stream.expected -= len(payload)
            if stream.expected < 0 or (ended and stream.expected):
                self._break_malformed(stream, events)
                return
        if ended:
            stream.request_ended = True
        elif not payload:
            self._budgets.empty_frames.spend(self._now)
            self.consume(stream_id, size)
            return
        events.append(Content(stream_id, payload, ended, size))

    def _receive_late_data(self, stream_id: int, size: int) -> None:
        self._require_not_idle(stream_id)
        self._counters.count("frames_on_closed_streams")
        if not size:
            self._budgets.empty_frames.spend(self._now)
        if stream_id not in self._ended_streams:
            self._refuse(stream_id, Code.STREAM_CLOSED)

    # HEADERS and CONTINUATION (sections 6.2 and 6.10)

    def _receive_headers(
        self, flags: int, stream_id: int, payload: bytes, events: list[Event]
    ) -> None:
        if flags & (PADDED | PRIORITIZED):
            if flags & PADDED:
                payload = self._strip_padding(payload)
            if flags & PRIORITIZED:
                if len(payload) < 5:
                    raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "HEADERS too short")
                payload = payload[5:]
        if not stream_id & 1:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "HEADERS on no stream of a client")
        if flags & END_HEADERS:
            self._receive_block(flags, stream_id, payload, events)
            return
        self._block_stream_id = stream_id
        self._block_flags = flags
        self._block_pieces = [payload]
        self._block_size = len(payload)
        self._kind_due = CONTINUATION
        self._check_block_size()

    def _receive_continuation(
        self, flags: int, stream_id: int, payload: bytes, events: list[Event]
    ) -> None:
        if self._kind_due != CONTINUATION:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        if stream_id != self._block_stream_id:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "CONTINUATION of another stream")
        self._block_pieces.append(payload)
        self._block_size += len(payload)
        self._check_block_size()
        if not payload and not flags & END_HEADERS:
            self._budgets.empty_frames.spend(self._now)
        if flags & END_HEADERS:
            block = b"".join(self._block_pieces)
            self._block_pieces = []
            self._kind_due = None
            self._receive_block(self._block_flags, stream_id, block, events)

    def _check_block_size(self) -> None:
        limits = self._limits
        if (
            self._block_size > limits.header_block_size_bytes_max
            or len(self._block_pieces) > limits.continuation_frames_max + 1
        ):
            self._counters.count("continuation_flood")
            raise ConnectionFailure(Code.ENHANCE_YOUR_CALM, "header block too large")

    def _receive_block(self, flags: int, stream_id: int, raw: bytes, events: list[Event]) -> None:
        if stream_id <= self._last_stream_id:
            self._receive_trailers(flags, stream_id, raw, events)
            return
        if stream_id - self._last_stream_id > 2:
            self._gaps.append((self._last_stream_id, stream_id))
        self._last_stream_id = stream_id
        try:
            block = self._blocks.read_request(raw)
        except (Malformed, ListTooLarge) as failure:
            self._refuse_block(stream_id, failure)
            return
        if self._final_stream_id is not None:
            self._ended_streams.add(stream_id)
            self._budgets.resets.spend(self._now)
            return
        if len(self._streams) >= self._limits.streams_max:
            self._counters.count("streams_refused")
            self._refuse(stream_id, Code.REFUSED_STREAM)
            return
        ended = bool(flags & END_STREAM)
        if ended and block.content_length > 0:
            self._refuse_block(stream_id, Malformed())
            return
        self._streams[stream_id] = Stream(stream_id, self._initial_in, block.content_length, ended)
        events.append(Headers(stream_id, block, ended))

    def _receive_trailers(
        self, flags: int, stream_id: int, raw: bytes, events: list[Event]
    ) -> None:
        stream = self._streams.get(stream_id)
        if stream is None or stream.request_ended:
            self._blocks.skip(raw)
            if stream is not None:
                self._break(stream, Code.STREAM_CLOSED, events)
            elif stream_id in self._ended_streams:
                self._counters.count("frames_on_closed_streams")
                self._budgets.malformed.spend(self._now)
            elif any(low < stream_id < high for low, high in self._gaps):
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "stream id smaller than before")
            else:
                raise ConnectionFailure(Code.STREAM_CLOSED, "HEADERS on a closed stream")
            return
        try:
            block = self._blocks.read_trailers(raw)
            if not flags & END_STREAM or stream.expected > 0:
                raise Malformed
        except ListTooLarge:
            self._counters.count("header_lists_too_large")
            self._budgets.malformed.spend(self._now)
            self._break(stream, Code.ENHANCE_YOUR_CALM, events)
            return
        except Malformed:
            self._break_malformed(stream, events)
            return
        stream.request_ended = True
        events.append(Trailers(stream_id, block))

    # PRIORITY (section 6.3), RST_STREAM (6.4) and PUSH_PROMISE (6.6)

    def _receive_priority(
        self, flags: int, stream_id: int, payload: bytes, events: list[Event]
    ) -> None:
        self._budgets.priorities.spend(self._now)
        if not stream_id:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(payload) != 5:
            stream = self._streams.get(stream_id)
            if stream is None:
                raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "PRIORITY of a wrong size")
            self._break(stream, Code.FRAME_SIZE_ERROR, events)

    def _receive_priority_update(
        self, flags: int, stream_id: int, payload: bytes, events: list[Event]
    ) -> None:
        """A newer form of priorities, with each request of some clients (RFC 9218); as unknown as any other to us."""
        self._budgets.priorities.spend(self._now)

    def _receive_rst_stream(
        self, flags: int, stream_id: int, payload: bytes, events: list[Event]
    ) -> None:
        if len(payload) != 4:
            raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "RST_STREAM of a wrong size")
        self._require_not_idle(stream_id)
        stream = self._streams.get(stream_id)
        if stream is None and stream_id in self._ended_streams:
            # Its answer to the end of the stream, or both ended it at once. It comes once, so it costs nothing.
            self._ended_streams.discard(stream_id)
            return
        self._counters.count("streams_reset_by_client")
        self._budgets.resets.spend(self._now)
        if stream is not None:
            self._forget(stream)
            events.append(Reset(stream_id, int.from_bytes(payload, "big")))

    def _receive_push_promise(
        self, flags: int, stream_id: int, payload: bytes, events: list[Event]
    ) -> None:
        raise ConnectionFailure(Code.PROTOCOL_ERROR, "PUSH_PROMISE from a client")

    # What the methods above share.

    def _strip_padding(self, payload: bytes) -> bytes:
        if not payload:
            raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "padded frame without a length")
        padding = payload[0]
        if padding >= len(payload):
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "more padding than frame")
        return payload[1 : len(payload) - padding]

    def _refuse_block(self, stream_id: int, failure: Malformed | ListTooLarge) -> None:
        """A request that HTTP or our limits forbid."""
        self._budgets.malformed.spend(self._now)
        if isinstance(failure, ListTooLarge):
            self._counters.count("header_lists_too_large")
            self._refuse(stream_id, Code.ENHANCE_YOUR_CALM)
        else:
            self._counters.count("malformed_blocks")
            self._refuse(stream_id, Code.PROTOCOL_ERROR)

    def _break_malformed(self, stream: Stream, events: list[Event]) -> None:
        self._counters.count("malformed_blocks")
        self._budgets.malformed.spend(self._now)
        self._break(stream, Code.PROTOCOL_ERROR, events)


Receiver = Callable[[Requests, int, int, bytes, list[Event]], None]


def _receivers() -> tuple[Receiver, ...]:
    found: list[Receiver] = [Requests._receive_unknown] * 256
    found[DATA] = Requests._receive_data
    found[HEADERS] = Requests._receive_headers
    found[PRIORITY] = Requests._receive_priority
    found[RST_STREAM] = Requests._receive_rst_stream
    found[SETTINGS] = Requests._receive_settings
    found[PUSH_PROMISE] = Requests._receive_push_promise
    found[PING] = Requests._receive_ping
    found[GOAWAY] = Requests._receive_goaway
    found[WINDOW_UPDATE] = Requests._receive_window_update
    found[CONTINUATION] = Requests._receive_continuation
    found[PRIORITY_UPDATE] = Requests._receive_priority_update
    return tuple(found)


RECEIVERS = _receivers()
"""By kind of frame."""
