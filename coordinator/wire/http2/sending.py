"""The sending side of a connection: frames in order, within the client's windows (RFC 9113, sections 5.2 and 6.9)."""

from __future__ import annotations

from collections import OrderedDict, deque

from coordinator.wire.http2.credit import Credit
from coordinator.wire.http2.encoding import TABLE_SIZE_ZERO
from coordinator.wire.http2.failures import ConnectionFailure
from coordinator.wire.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE_BYTES_DEFAULT,
    HEAD,
    HEADERS,
    WINDOW_DEFAULT,
    WINDOW_MAX,
    Code,
    header_frames,
    rst_stream,
    window_update,
)
from coordinator.wire.http2.limits import Http2Limits
from coordinator.wire.http2.streams import (
    DATA_PIECE,
    LAST_DATA_PIECE,
    TRAILERS_PIECE,
    EndedStreams,
    Stream,
)

JOINED_SIZE_BYTES_MAX = 4_096
"""Of a payload that is copied next to its frame's head; a larger one is written as it is."""
OUTPUT_PIECES_MAX = 4_096
"""That wait to be written before content that found an open window is held back."""
SENT_FRAME_SIZE_BYTES_MAX = 65_536
"""Of our DATA frames, whatever the client accepts, so that streams take turns."""

_HEADERS_KIND = HEADERS
_LAST_HEADERS_FLAGS = END_HEADERS | END_STREAM
_pack = HEAD.pack


class Sending:
    """What is to be written, and what waits for a window."""

    unsent_total: int
    """Bytes of content that wait for a window, of all streams."""

    def __init__(self, limits: Http2Limits, credit: Credit) -> None:
        self._credit = credit
        self._streams: dict[int, Stream] = {}
        self._ended_streams = EndedStreams(limits.closed_streams_max)
        self._out: list[bytes] = []
        self._window_out = WINDOW_DEFAULT
        self._initial_out = WINDOW_DEFAULT
        self._frame_out_max = FRAME_SIZE_BYTES_DEFAULT
        self._control_bytes = 0  # Of answers that wait to be written.
        # Whether the client must be told that we use no dynamic table, and whether it was.
        self._table_size_due = False
        self._table_size_told = False
        # Streams with content and a window of their own that wait for the connection's: each sends a frame in turn.
        self._ready: OrderedDict[int, Stream] = OrderedDict()
        self._delta_out_max = 0  # At least that of every stream.
        self.unsent_total = 0

    @property
    def streams_open(self) -> int:
        """Streams that are not closed in both directions."""
        return len(self._streams)

    def unsent(self, stream_id: int) -> int:
        """Returns how many bytes of a stream wait for a window."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else stream.unsent

    def send_headers(self, stream_id: int, block: bytes, end: bool = False) -> bool:
        """Sends a header block of `encode_block`; returns False if the stream is closed."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.reply_ending:
            return False
        if end:
            return self.send_trailers(stream_id, block)
        self._write_block(stream_id, block, end=False)
        return True

    def send_data(self, stream_id: int, payload: bytes, end: bool = False) -> bool:
        """Sends content, or lets it wait for a window; returns False if the stream is closed."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.reply_ending:
            return False
        size = len(payload)
        if (
            0 < size <= self._frame_out_max
            and size <= self._window_out
            and size <= self._initial_out + stream.delta_out
            and not stream.waiting
        ):
            self._window_out -= size
            stream.delta_out -= size
            self._out += (_pack(size << 8, end, stream_id), payload)
            if end:
                self._end_reply(stream)
            return True
        if size or end:
            self._enqueue(stream, payload, LAST_DATA_PIECE if end else DATA_PIECE)
        return True

    def send_trailers(self, stream_id: int, block: bytes) -> bool:
        """Ends a reply with a header block, once all its content is sent; returns False if the stream is closed."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.reply_ending:
            return False
        if stream.waiting:
            stream.reply_ending = True
            stream.waiting.append((block, TRAILERS_PIECE))
            return True
        self._write_block(stream_id, block, end=True)
        self._end_reply(stream)
        return True

    def send_reply(self, stream_id: int, headers: bytes, payload: bytes, trailers: bytes) -> bool:
        """Sends all of a reply; the same as the three calls above, for less. Returns False if the stream is closed."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.reply_ending:
            return False
        size = len(payload)
        headers_size = len(headers)
        trailers_size = len(trailers)
        if (
            0 < size <= JOINED_SIZE_BYTES_MAX
            and size <= self._window_out
            and size <= self._initial_out + stream.delta_out
            and headers_size <= FRAME_SIZE_BYTES_DEFAULT
            and trailers_size <= FRAME_SIZE_BYTES_DEFAULT
            and not stream.waiting
            and not self._table_size_due
        ):
            self._window_out -= size
            self._out.append(
                b"".join(
                    (
                        _pack(headers_size << 8 | _HEADERS_KIND, END_HEADERS, stream_id),
                        headers,
                        _pack(size << 8, 0, stream_id),
                        payload,
                        _pack(trailers_size << 8 | _HEADERS_KIND, _LAST_HEADERS_FLAGS, stream_id),
                        trailers,
                    )
                )
            )
            self._end_reply(stream)
            return True
        self.send_headers(stream_id, headers)
        self.send_data(stream_id, payload)
        return self.send_trailers(stream_id, trailers)

    def reset(self, stream_id: int, code: int) -> bool:
        """Ends a stream in both directions, with nothing more of its reply; returns False if it is closed."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return False
        self._drop(stream, code)
        return True

    def consume(self, stream_id: int, credit: int) -> None:
        """Gives back `credit` bytes of a `Content` event to the client's windows. Not needed for closed streams."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        credit = min(credit, stream.unread)
        stream.unread -= credit
        self._release(credit)
        if not stream.request_ended:
            stream.owed += credit
            if stream.owed >= stream.window_in and stream.owed > 0:
                self._out.append(window_update(stream_id, stream.owed))
                stream.window_in += stream.owed
                stream.owed = 0

    # Below: for the receiving side.

    def _release(self, size: int) -> None:
        credit = self._credit
        credit.release(size)
        if credit.due:
            self._out.append(window_update(0, credit.give_back()))

    def _drop(self, stream: Stream, code: int) -> None:
        """Sends RST_STREAM and forgets the stream."""
        self._out.append(rst_stream(stream.stream_id, code))
        self._ended_streams.add(stream.stream_id)
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        stream_id = stream.stream_id
        del self._streams[stream_id]
        if stream.waiting:
            self.unsent_total -= stream.unsent
            stream.waiting = None
            self._ready.pop(stream_id, None)
        if stream.unread:
            self._release(stream.unread)

    def _end_reply(self, stream: Stream) -> None:
        """The last frame of a reply is on its way."""
        if stream.request_ended:
            self._forget(stream)
        else:
            # Nobody waits for the rest of the request: ask the client to stop (RFC 9113, section 8.1).
            self._drop(stream, Code.NO_ERROR)

    def _write_block(self, stream_id: int, block: bytes, end: bool) -> None:
        if self._table_size_due:
            self._table_size_due = False
            self._table_size_told = True
            block = TABLE_SIZE_ZERO + block
        self._out.append(header_frames(stream_id, block, self._frame_out_max, end))

    def _enqueue(self, stream: Stream, payload: bytes, kind: int) -> None:
        if kind == LAST_DATA_PIECE:
            stream.reply_ending = True
        if stream.waiting is None:
            stream.waiting = deque()
        stream.waiting.append((payload, kind))
        stream.unsent += len(payload)
        self.unsent_total += len(payload)
        if len(stream.waiting) == 1:
            self._offer(stream)
            self._send_waiting()

    def _offer(self, stream: Stream) -> None:
        """Puts a stream into the row of those that may send as soon as the connection's window lets them."""
        waiting = stream.waiting
        if not waiting:
            return
        if not waiting[0][0]:
            self._send_piece(stream, waiting, 0)  # An empty frame needs no window.
        elif self._initial_out + stream.delta_out > 0:
            self._ready[stream.stream_id] = stream

    def _send_waiting(self, held_back: bool = True) -> None:
        """Lets the streams in the row send, a frame each in turn.

        With `held_back`, as long as not too much waits to be written: with tiny windows, a frame's head is far
        larger than what it carries, and windows that open meanwhile add up to larger frames.
        """
        ready = self._ready
        while ready and self._window_out > 0:
            if held_back and len(self._out) > OUTPUT_PIECES_MAX:
                break
            _, stream = ready.popitem(last=False)
            waiting = stream.waiting
            assert waiting
            room = self._initial_out + stream.delta_out
            if room > 0:  # Else SETTINGS closed it since it was put into the row.
                room = min(room, self._window_out, self._frame_out_max)
                self._send_piece(stream, waiting, room)
                self._offer(stream)

    def _widen(self, increment: int) -> None:
        """Opens the connection's window."""
        self._window_out += increment
        if self._window_out > WINDOW_MAX:
            raise ConnectionFailure(Code.FLOW_CONTROL_ERROR, "connection window overflows")
        self._send_waiting()

    def _widen_stream(self, stream: Stream, increment: int) -> bool:
        """Opens a stream's window; returns False if it is too large then."""
        stream.delta_out += increment
        if stream.delta_out > self._delta_out_max:
            self._delta_out_max = stream.delta_out
            if self._initial_out + stream.delta_out > WINDOW_MAX:
                return False
        if stream.waiting:
            self._offer(stream)
            self._send_waiting()
        return True

    def _move_windows(self, initial: int) -> None:
        """Changes what the windows of all streams began with (RFC 9113, section 6.9.2)."""
        opens = initial > self._initial_out
        self._initial_out = initial
        if initial + self._delta_out_max > WINDOW_MAX:
            # The largest may be gone by now.
            deltas = (stream.delta_out for stream in self._streams.values())
            self._delta_out_max = max(deltas, default=0)
            if initial + self._delta_out_max > WINDOW_MAX:
                raise ConnectionFailure(Code.FLOW_CONTROL_ERROR, "stream window overflows")
        if opens and self.unsent_total:
            for stream in list(self._streams.values()):
                self._offer(stream)

    def _send_piece(self, stream: Stream, waiting: deque[tuple[bytes, int]], room: int) -> None:
        """Sends a frame of what waits, and what follows it if that needs no window."""
        payload, kind = waiting[0]
        start = stream.offset
        size = len(payload) - start
        if size > room:
            payload = payload[start : start + room]
            kind = DATA_PIECE
            stream.offset = start + room
            size = room
        else:
            waiting.popleft()
            stream.offset = 0
            if start:
                payload = payload[start:]
        self._window_out -= size
        stream.delta_out -= size
        stream.unsent -= size
        self.unsent_total -= size
        self._out.append(_pack(size << 8 | DATA, kind, stream.stream_id))
        if size:
            self._out.append(payload)
        if kind == LAST_DATA_PIECE:
            self._end_reply(stream)
        elif waiting and waiting[0][1] == TRAILERS_PIECE:
            block, _ = waiting.popleft()
            self._write_block(stream.stream_id, block, end=True)
            self._end_reply(stream)
        elif waiting and not waiting[0][0]:
            self._send_piece(stream, waiting, 0)
