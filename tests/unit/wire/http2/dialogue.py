"""A client made of the independent packages `h2` and `hyperframe`, and a connection that it talks to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import h2.config
import h2.connection
import h2.events
import hpack
import hyperframe.frame as hf

from coordinator.wire.http2 import Connection, Counters, Ended, Event, Http2Limits
from coordinator.wire.http2.frames import PREFACE, Code

Fields = list[tuple[bytes, bytes]]
T = TypeVar("T")

REQUEST: Fields = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/pkg.Service/Method"),
    (b":authority", b"localhost"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
]


def replaced(
    *changes: tuple[bytes, bytes | None], more: Iterable[tuple[bytes, bytes]] = ()
) -> Fields:
    """`REQUEST` with other values, without those that are None, and with more fields at its end."""
    values: dict[bytes, bytes | None] = {**dict(REQUEST), **dict(changes)}
    return [(name, value) for name, value in values.items() if value is not None] + list(more)


@dataclass
class Dialogue:
    """A connection and frames by hand: `send` says what happened, `answers` what was written since."""

    limits: Http2Limits = field(default_factory=Http2Limits)
    greet: bool = True
    now: float = 0.0

    def __post_init__(self) -> None:
        self.counters = Counters()
        self.connection = Connection(self.limits, self.counters)
        self.encoder = hpack.Encoder()
        self.events: list[Event] = []
        self.connection.begin()
        if self.greet:
            assert self.send(PREFACE, hf.SettingsFrame(0)) == []
            kinds = [type(frame) for frame in self.answers()]
            assert kinds[0] is hf.SettingsFrame
            assert self.send(hf.SettingsFrame(0, flags=["ACK"])) == []

    def send(self, *parts: hf.Frame | bytes) -> list[Event]:
        """Gives the connection frames or plain bytes; returns what it tells."""
        pieces = [part if isinstance(part, bytes) else part.serialize() for part in parts]
        events = self.connection.receive(b"".join(pieces), self.now)
        self.events += events
        return events

    def block(self, fields: Fields, **options: Any) -> bytes:
        return self.encoder.encode(fields, **options)

    def headers(
        self, stream_id: int = 1, fields: Fields | None = None, *, end: bool = False
    ) -> hf.HeadersFrame:
        frame = hf.HeadersFrame(stream_id, self.block(REQUEST if fields is None else fields))
        frame.flags.add("END_HEADERS")
        if end:
            frame.flags.add("END_STREAM")
        return frame

    def open(self, *stream_ids: int, end: bool = False) -> None:
        """Begins requests."""
        for stream_id in stream_ids or (1,):
            assert [
                type(event).__name__ for event in self.send(self.headers(stream_id, end=end))
            ] == ["Headers"]

    def answers(self) -> list[hf.Frame]:
        """The frames that were written since."""
        return parse(b"".join(self.connection.output()))

    def answer(self, kind: type[T]) -> T:
        """The only frame that was written since."""
        [frame] = self.answers()
        assert isinstance(frame, kind), frame
        return frame

    def expect_reset(self, code: Code, stream_id: int = 1) -> None:
        """The stream was reset, and the connection goes on."""
        frame = [frame for frame in self.answers() if isinstance(frame, hf.RstStreamFrame)][-1]
        assert (frame.stream_id, frame.error_code) == (stream_id, code)
        assert not self.connection.ended
        assert stream_id not in self.connection._streams
        self.ping()

    def expect_end(self, code: Code) -> None:
        """The connection was ended, and the client was told why."""
        frame = self.answers()[-1]
        assert isinstance(frame, hf.GoAwayFrame)
        assert frame.error_code == code
        ended = self.events[-1]
        assert isinstance(ended, Ended)
        assert ended.code == code
        assert self.connection.ended
        assert self.send(hf.PingFrame(0, b"anything")) == []
        assert self.connection.output() == []
        assert self.connection.streams_open == 0

    def ping(self) -> None:
        """The connection still answers."""
        assert self.send(hf.PingFrame(0, b"stillup?")) == []
        frame = self.answers()[-1]
        assert isinstance(frame, hf.PingFrame)
        assert frame.opaque_data == b"stillup?"


def parse(content: bytes) -> list[hf.Frame]:
    """Frames in bytes, all complete."""
    frames = []
    while content:
        frame, length = hf.Frame.parse_frame_header(memoryview(content[:9]))
        assert len(content) >= 9 + length
        frame.parse_body(memoryview(content[9 : 9 + length]))
        frames.append(frame)
        content = content[9 + length :]
    return frames


class Pair:
    """An `h2` client connected to a connection of ours, without a network."""

    def __init__(self, limits: Http2Limits | None = None) -> None:
        self.counters = Counters()
        self.server = Connection(limits or Http2Limits(), self.counters)
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=False))
        self.client.initiate_connection()
        self.server.begin()
        self.told: list[h2.events.Event] = []
        self.events: list[Event] = []
        self.now = 0.0
        self.lags = False
        self.under_way: list[bytes] = []
        self.exchange()

    def exchange(self) -> list[Event]:
        """Carries bytes both ways until nobody has anything to say; returns what the server was told.

        While it `lags`, what the server says stays under way.
        """
        events: list[Event] = []
        while True:
            sent = self.client.data_to_send()
            if sent:
                events += self.server.receive(sent, self.now)
            self.under_way += self.server.output()
            answered = b"" if self.lags else b"".join(self.under_way)
            if answered:
                self.under_way.clear()
                self.told += self.client.receive_data(answered)
            if not sent and not answered:
                self.events += events
                return events
