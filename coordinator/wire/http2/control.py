"""Frames about the whole connection and about windows: SETTINGS, PING, GOAWAY, WINDOW_UPDATE (RFC 9113, section 6)."""

from __future__ import annotations

from coordinator.wire.http2.blocks import BlockReader
from coordinator.wire.http2.budgets import Budgets
from coordinator.wire.http2.counters import Counters
from coordinator.wire.http2.credit import Credit
from coordinator.wire.http2.events import Event, GoneAway, Ponged, Reset
from coordinator.wire.http2.failures import ConnectionFailure
from coordinator.wire.http2.frames import (
    ACK,
    ENABLE_PUSH,
    FRAME_SIZE_BYTES_DEFAULT,
    FRAME_SIZE_BYTES_MAX,
    HEADER_TABLE_SIZE,
    HEADER_TABLE_SIZE_BYTES_DEFAULT,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    SETTING,
    SETTINGS,
    SETTINGS_ACK,
    WINDOW_DEFAULT,
    WINDOW_MAX,
    Code,
    ping,
    rst_stream,
)
from coordinator.wire.http2.limits import Http2Limits
from coordinator.wire.http2.sending import SENT_FRAME_SIZE_BYTES_MAX, Sending
from coordinator.wire.http2.streams import Stream


class Control(Sending):
    """What the client may say about the connection, and how it is told that it did something wrong."""

    def __init__(self, limits: Http2Limits, counters: Counters) -> None:
        window = max(limits.connection_window_bytes, WINDOW_DEFAULT)
        super().__init__(limits, Credit(window, limits.unread_bytes_max))
        self._limits = limits
        self._counters = counters
        self._budgets = Budgets(limits, counters)
        self._blocks = BlockReader(limits)
        self._now = 0.0
        self._last_stream_id = 0
        # The only kind of frame that may come next, if it is only one.
        self._kind_due: int | None = SETTINGS
        # Until the client has acknowledged our SETTINGS, it may count on the defaults.
        self._settings_due = True
        self._initial_in = max(limits.stream_window_bytes, WINDOW_DEFAULT)
        if limits.header_table_size_bytes > HEADER_TABLE_SIZE_BYTES_DEFAULT:
            self._blocks.allow(limits.header_table_size_bytes)

    # SETTINGS (section 6.5)

    def _receive_settings(
        self, flags: int, stream_id: int, payload: bytes, events: list[Event]
    ) -> None:
        self._budgets.settings.spend(self._now)
        if stream_id:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & ACK:
            if payload:
                raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "SETTINGS with ACK and content")
            if self._kind_due == SETTINGS:
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "no SETTINGS")
            self._obey_own_settings()
            return
        if len(payload) % SETTING.size:
            raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        self._kind_due = None
        initial = self._initial_out
        for name, value in SETTING.iter_unpack(payload):
            if name == INITIAL_WINDOW_SIZE:
                if value > WINDOW_MAX:
                    raise ConnectionFailure(Code.FLOW_CONTROL_ERROR, "bad INITIAL_WINDOW_SIZE")
                initial = value  # Only the last one counts: moving all windows is work.
            else:
                self._apply_setting(name, value)
        if initial != self._initial_out:
            self._move_windows(initial)
        self._answer(SETTINGS_ACK)
        self._send_waiting()

    def _apply_setting(self, name: int, value: int) -> None:
        if name == HEADER_TABLE_SIZE:
            if value < HEADER_TABLE_SIZE_BYTES_DEFAULT:
                self._table_size_due = not self._table_size_told
        elif name == ENABLE_PUSH:
            if value > 1:
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "bad ENABLE_PUSH")
        elif name == MAX_FRAME_SIZE:
            if not FRAME_SIZE_BYTES_DEFAULT <= value <= FRAME_SIZE_BYTES_MAX:
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "bad MAX_FRAME_SIZE")
            self._frame_out_max = min(value, SENT_FRAME_SIZE_BYTES_MAX)

    def _obey_own_settings(self) -> None:
        """The client knows our SETTINGS now (section 6.5.3)."""
        if not self._settings_due:
            return
        self._settings_due = False
        limits = self._limits
        self._blocks.allow(limits.header_table_size_bytes)
        less = self._initial_in - limits.stream_window_bytes
        if less > 0:
            self._initial_in = limits.stream_window_bytes
            for stream in self._streams.values():
                stream.window_in -= less

    # PING (section 6.7), GOAWAY (6.8) and WINDOW_UPDATE (6.9)

    def _receive_ping(
        self, flags: int, stream_id: int, payload: bytes, events: list[Event]
    ) -> None:
        self._budgets.pings.spend(self._now)
        if stream_id:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "PING of a wrong size")
        if flags & ACK:
            events.append(Ponged(payload))
        else:
            self._answer(ping(payload, ACK))

    def _receive_goaway(
        self, flags: int, stream_id: int, payload: bytes, events: list[Event]
    ) -> None:
        self._budgets.settings.spend(self._now)
        if stream_id:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "GOAWAY too short")
        last_stream_id = int.from_bytes(payload[:4], "big") & WINDOW_MAX
        events.append(GoneAway(last_stream_id, int.from_bytes(payload[4:8], "big")))

    def _receive_window_update(
        self, flags: int, stream_id: int, payload: bytes, events: list[Event]
    ) -> None:
        self._budgets.window_updates.spend(self._now)
        if len(payload) != 4:
            raise ConnectionFailure(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong size")
        increment = int.from_bytes(payload, "big") & WINDOW_MAX
        if not stream_id:
            if not increment:
                raise ConnectionFailure(Code.PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
            self._widen(increment)
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            self._require_not_idle(stream_id)
        elif not increment:
            self._break(stream, Code.PROTOCOL_ERROR, events)
        elif not self._widen_stream(stream, increment):
            self._counters.count("flow_control_errors")
            self._break(stream, Code.FLOW_CONTROL_ERROR, events)

    # What is unknown (section 5.5)

    def _receive_unknown(
        self, flags: int, stream_id: int, payload: bytes, events: list[Event]
    ) -> None:
        self._counters.count("unknown_frames")
        self._budgets.unknown_frames.spend(self._now)

    # What the methods above and below share.

    def _require_not_idle(self, stream_id: int) -> None:
        """Frames on streams that nobody opened end the connection (section 5.1)."""
        if not stream_id & 1 or stream_id > self._last_stream_id:
            raise ConnectionFailure(Code.PROTOCOL_ERROR, "frame on an idle stream")

    def _answer(self, frame: bytes) -> None:
        """Sends what a client makes us send; one that reads none of it is sent away."""
        self._out.append(frame)
        self._control_bytes += len(frame)
        if self._control_bytes > self._limits.control_output_bytes_max:
            self._counters.count("unread_output")
            raise ConnectionFailure(Code.ENHANCE_YOUR_CALM, "answers are not read")

    def _refuse(self, stream_id: int, code: int) -> None:
        """Resets a stream that never was, or is no more."""
        self._counters.count("streams_reset_by_us")
        self._budgets.resets.spend(self._now)
        self._ended_streams.add(stream_id)
        self._answer(rst_stream(stream_id, code))

    def _break(self, stream: Stream, code: int, events: list[Event]) -> None:
        """Ends a stream on which the client did something wrong (section 5.4.2)."""
        self._forget(stream)
        events.append(Reset(stream.stream_id, code))
        self._refuse(stream.stream_id, code)
