"""Whatever a client sends, in whatever pieces: nothing is raised, nothing grows, nothing is lost."""

from __future__ import annotations

import itertools

import h2.events
import h2.settings
from hypothesis import given
from hypothesis import strategies as st

from coordinator.wire.http2 import (
    Content,
    Ended,
    Headers,
    Http2Limits,
    Reset,
    Trailers,
    encode_block,
)
from coordinator.wire.http2.frames import HEAD, PREFACE
from tests.unit.wire.http2.bounds import (
    HEAD_BLOCK,
    TAIL_BLOCK,
    act,
    check_books,
    check_bounds,
    make,
    play,
)
from tests.unit.wire.http2.dialogue import REQUEST, Pair

STREAM_IDS = st.sampled_from([0, 1, 1, 1, 3, 3, 5, 7, 9, 11, 13, 2, 2**31 - 1])
BLOCKS = st.sampled_from(
    [
        encode_block(REQUEST),
        b"\x83\x86\x84",
        b"\x83\x86\x84\x40\x01x\x01y",
        b"\x83\x86\xbe",
        b"\x20\x83\x86\x84",
        b"\x00\x01x\x01y",
        b"\xbe" * 50,
    ]
)
WORDS = st.sampled_from([0, 1, 100, 65_535, 2**30, 2**31 - 1, 2**32 - 1]).map(
    lambda n: n.to_bytes(4, "big")
)
SETTINGS = st.lists(
    st.tuples(st.integers(0, 8).map(lambda n: n.to_bytes(2, "big")), WORDS).map(b"".join),
    max_size=3,
).map(b"".join)
CONTENT = st.one_of(
    BLOCKS, WORDS, SETTINGS, st.binary(max_size=30), st.just(bytes(8)), st.just(bytes(2_000))
)
FRAMES = st.builds(
    lambda kind, flags, stream_id, content, lie: (
        HEAD.pack((len(content) + lie) << 8 | kind, flags, stream_id) + content
    ),
    st.sampled_from([0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 77]),
    st.sampled_from([0, 1, 4, 4, 5, 5, 8, 0x20, 0xFF]),
    STREAM_IDS,
    CONTENT,
    st.sampled_from([0] * 20 + [1, 20_000]),
)
PLAIN = st.builds(
    lambda kind, flags, stream_id, content: (
        HEAD.pack(len(content) << 8 | kind, flags, stream_id) + content
    ),
    st.sampled_from([0, 0, 1, 8]),
    st.sampled_from([0, 1, 4, 5]),
    STREAM_IDS,
    BLOCKS | WORDS,
)
OPENING = PREFACE + HEAD.pack(4, 0, 0)
CONVERSATIONS = st.builds(
    lambda opening, frames: opening + b"".join(frames),
    st.sampled_from([OPENING] * 10 + [PREFACE, b"", b"GET"]),
    st.lists(FRAMES | PLAIN, max_size=25),
)


@given(st.lists(CONVERSATIONS | st.binary(max_size=100), max_size=3), st.booleans())
def test_any_bytes(pieces: list[bytes], acts: bool) -> None:
    connection = make()
    ended = False
    written: list[bytes] = []
    for number, piece in enumerate(pieces):
        events = connection.receive(piece, float(number))
        assert not (ended and events)
        for event in events:
            ended = ended or isinstance(event, Ended)
            if acts:
                act(connection, event)
        assert ended == connection.ended
        check_bounds(connection)
        if number % 2:
            written += connection.output()
    written += connection.output()
    if connection.greeted and ended:
        assert written[-1][3] == 7, "a GOAWAY is the last frame"


@given(CONVERSATIONS, st.lists(st.integers(0, 600), max_size=8))
def test_pieces_make_no_difference(content: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    parts = [content[start:end] for start, end in itertools.pairwise(places)]
    whole = play([content])
    assert play(parts) == whole
    assert play([content[at : at + 1] for at in range(len(content))]) == whole


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "open",
                "say",
                "say",
                "end",
                "reset",
                "settle",
                "reply",
                "reply",
                "finish",
                "drop",
                "read",
                "read",
                "ping",
            ]
        ),
        st.integers(0, 5),
        st.sampled_from([0, 1, 5, 100, 5_000, 16_384, 16_385, 40_000, 150_000]),
    ),
    max_size=60,
)


class Program:
    """A legal client, a server that answers, and what each of them must have received in the end."""

    def __init__(self) -> None:
        limits = Http2Limits(
            stream_window_bytes=20_000, connection_window_bytes=65_535, unread_bytes_max=50_000
        )
        self.pair = Pair(limits)
        self.client, self.server = self.pair.client, self.pair.server
        self.next_id = 1
        self.streams: list[int] = []
        self.asking: set[int] = set()
        self.answering: set[int] = set()
        self.begun: set[int] = set()
        self.hurried: set[int] = set()
        self.quit: set[int] = set()
        self.dropped: set[int] = set()
        self.known: set[int] = set()
        self.sent: dict[int, bytes] = {}
        self.received: dict[int, bytes] = {}
        self.replied: dict[int, bytes] = {}
        self.heard: dict[int, bytes] = {}
        self.unread: list[tuple[int, int]] = []
        self.unheard: list[tuple[int, int]] = []
        self.over: set[int] = set()
        self.whole: set[int] = set()

    @property
    def gone(self) -> set[int]:
        """Streams that one side has reset."""
        return self.quit | self.dropped

    def may_ask(self, stream_id: int) -> bool:
        """Whether the client, as far as it knows, may send on a stream."""
        return stream_id in self.asking - self.quit - self.known

    def step(self, kind: str, which: int, size: int) -> None:
        if kind == "open":
            self.open(size)
        elif kind == "settle":
            self.settle(which, size)
        elif kind == "ping":
            self.client.ping(b"12345678")
        elif kind == "read":
            self.read(which)
        elif kind == "lag":
            self.pair.lags = which % 2 == 0
        elif self.streams:
            getattr(self, kind)(self.streams[which % len(self.streams)], size)
        self.exchange()

    def open(self, size: int) -> None:
        stream_id = self.next_id
        self.next_id += 2
        self.client.send_headers(stream_id, [*REQUEST, (b"size", b"%d" % size)])
        self.streams.append(stream_id)
        self.asking.add(stream_id)
        self.answering.add(stream_id)
        for book in (self.sent, self.received, self.replied, self.heard):
            book[stream_id] = b""

    def say(self, stream_id: int, size: int) -> None:
        if self.may_ask(stream_id):
            size = min(size, self.client.local_flow_control_window(stream_id), 16_384)
            payload = bytes([stream_id % 256]) * size
            self.client.send_data(stream_id, payload)
            self.sent[stream_id] += payload

    def end(self, stream_id: int, size: int) -> None:
        if self.may_ask(stream_id):
            if size % 2:
                self.client.send_headers(stream_id, [(b"last", b"word")], end_stream=True)
            else:
                self.client.end_stream(stream_id)
            self.asking.discard(stream_id)

    def reset(self, stream_id: int, size: int) -> None:
        if stream_id not in self.quit | self.known | self.over:
            self.client.reset_stream(stream_id, 8)
            self.quit.add(stream_id)

    def drop(self, stream_id: int, size: int) -> None:
        if self.server.reset(stream_id, 2):
            self.dropped.add(stream_id)

    def settle(self, which: int, size: int) -> None:
        codes = h2.settings.SettingCodes
        window, table, frame = (
            codes.INITIAL_WINDOW_SIZE,
            codes.HEADER_TABLE_SIZE,
            codes.MAX_FRAME_SIZE,
        )
        name, value = [(window, size), (table, size % 5_000), (frame, 16_384 + size)][which % 3]
        self.client.update_settings({name: value})

    def reply(self, stream_id: int, size: int) -> None:
        if stream_id in self.answering:
            payload = bytes([size % 256]) * size
            if stream_id not in self.begun:
                self.begun.add(stream_id)
                self.server.send_headers(stream_id, HEAD_BLOCK)
            if self.server.send_data(stream_id, payload):
                self.replied[stream_id] += payload

    def finish(self, stream_id: int, size: int) -> None:
        if stream_id in self.whole:
            self.hurry(stream_id, size)

    def hurry(self, stream_id: int, size: int) -> None:
        """Ends a reply, maybe before the request is whole: then the rest of it is lost, but never the reply."""
        if stream_id in self.answering - self.gone:
            self.answering.discard(stream_id)
            if stream_id not in self.whole:
                self.hurried.add(stream_id)
            if stream_id not in self.begun:
                self.replied[stream_id] = bytes([7]) * (size or 1)
                assert self.server.send_reply(
                    stream_id, HEAD_BLOCK, self.replied[stream_id], TAIL_BLOCK
                )
            else:
                assert self.server.send_trailers(stream_id, TAIL_BLOCK)

    def read(self, which: int) -> None:
        if which % 2 and self.unread:
            self.server.consume(*self.unread.pop(which % len(self.unread)))
        elif self.unheard:
            self.hear(*self.unheard.pop(which % len(self.unheard)))

    def hear(self, stream_id: int, size: int) -> None:
        self.client.acknowledge_received_data(size, stream_id)

    def exchange(self) -> None:
        for event in self.pair.exchange():
            if isinstance(event, Content):
                self.received[event.stream_id] += event.payload
                self.unread.append((event.stream_id, event.credit))
            elif isinstance(event, Headers):
                assert event.block.fields[:-1] == tuple(REQUEST)
            elif isinstance(event, Reset):
                assert event.stream_id in self.quit
            assert not isinstance(event, Ended), event
            if isinstance(event, Trailers) or (isinstance(event, Content) and event.ended):
                self.whole.add(event.stream_id)
        for told in self.pair.told:
            if isinstance(told, h2.events.DataReceived):
                assert (
                    told.stream_id
                    and told.data is not None
                    and told.flow_controlled_length is not None
                )
                self.heard[told.stream_id] += told.data
                self.unheard.append((told.stream_id, told.flow_controlled_length))
            elif isinstance(told, h2.events.StreamEnded):
                self.over.add(told.stream_id)
            elif isinstance(told, h2.events.StreamReset):
                assert told.stream_id in self.dropped | self.hurried
                self.known.add(told.stream_id)
        self.pair.told.clear()
        check_books(self.server)

    def conclude(self) -> None:
        """Everybody reads everything; then all that was sent was received."""
        self.pair.lags = False
        self.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10_000_000})
        self.exchange()
        while self.unread or self.unheard or self.server.unsent_total:
            for unread in self.unread:
                self.server.consume(*unread)
            for unheard in self.unheard:
                self.hear(*unheard)
            self.unread.clear()
            self.unheard.clear()
            self.client.increment_flow_control_window(100_000)
            self.exchange()
        for stream_id in set(self.streams) - self.gone:
            self.end(stream_id, 0)
            self.exchange()
            if stream_id in self.hurried:
                assert self.sent[stream_id].startswith(self.received[stream_id])
            else:
                assert self.received[stream_id] == self.sent[stream_id]
            assert self.heard[stream_id] == self.replied[stream_id]
            assert stream_id in self.over or stream_id in self.answering
        for stream_id in set(self.streams) & self.gone:
            assert self.replied[stream_id].startswith(self.heard[stream_id])
        assert set(self.server._streams) == self.answering - self.gone
        assert self.server._credit.unread == 0


@given(STEPS)
def test_legal_programs(steps: list[tuple[str, int, int]]) -> None:
    program = Program()
    for step in steps:
        program.step(*step)
    program.conclude()
