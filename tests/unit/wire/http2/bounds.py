"""A layer above that answers whatever comes, and what a connection may keep of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from coordinator.wire.http2 import (
    Connection,
    Content,
    Counters,
    Event,
    Headers,
    Http2Limits,
    Trailers,
    encode_block,
)

HEAD_BLOCK = encode_block([(b":status", b"200")])
TAIL_BLOCK = encode_block([(b"grpc-status", b"0")])
LIMITS = Http2Limits(streams_max=5, closed_streams_max=10, block_cache_entries_max=4)


def make() -> Connection:
    connection = Connection(LIMITS, Counters())
    connection.begin()
    return connection


def check_bounds(connection: Connection) -> None:
    """Sizes of all that a connection keeps, and that its books agree."""
    assert connection.streams_open <= LIMITS.streams_max
    assert len(connection._ended_streams) <= LIMITS.closed_streams_max
    assert len(connection._held) < LIMITS.frame_size_bytes_max + 9
    assert (
        connection._block_size <= LIMITS.header_block_size_bytes_max + LIMITS.frame_size_bytes_max
    )
    assert len(connection._blocks._kept) <= LIMITS.block_cache_entries_max
    assert connection._blocks._decoder.table_size_bytes <= LIMITS.header_table_size_bytes
    streams = connection._streams.values()
    assert connection.unsent_total == sum(stream.unsent for stream in streams)
    if not connection.ended:
        assert connection._credit.unread == sum(stream.unread for stream in streams)
    assert set(connection._ready) <= set(connection._streams)


def act(connection: Connection, event: Event) -> None:
    """What a layer above may do."""
    if isinstance(event, Headers) and event.ended:
        connection.send_reply(event.stream_id, HEAD_BLOCK, b"answer", TAIL_BLOCK)
    elif isinstance(event, Content):
        connection.consume(event.stream_id, event.credit)
        if event.ended:
            connection.send_headers(event.stream_id, HEAD_BLOCK)
            connection.send_data(event.stream_id, bytes(70_000))
            connection.send_trailers(event.stream_id, TAIL_BLOCK)
    elif isinstance(event, Trailers):
        connection.send_trailers(event.stream_id, TAIL_BLOCK)


def describe(event: Event) -> object:
    """Blocks are compared by their fields."""
    if isinstance(event, Headers | Trailers):
        return type(event), event.stream_id, event.block.fields
    return event


def play(pieces: Sequence[bytes]) -> tuple[list[object], bytes]:
    connection = make()
    told: list[object] = []
    for piece in pieces:
        for event in connection.receive(piece, 1.0):
            told.append(describe(event))
    return told, b"".join(connection.output())


def check_books(server: Connection) -> None:
    streams = server._streams.values()
    assert server.unsent_total == sum(stream.unsent for stream in streams)
    assert server._credit.unread == sum(stream.unread for stream in streams)
    window, unread = server._limits.connection_window_bytes, server._credit.unread
    withheld = max(0, unread - server._limits.unread_bytes_max)
    assert server._credit.window + server._credit.owed + withheld == window


@contextmanager
def memory_at_most(size_bytes_max: int) -> Iterator[None]:
    """What happens inside takes no more memory at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] <= size_bytes_max
    finally:
        tracemalloc.stop()
