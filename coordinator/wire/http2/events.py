"""What a connection tells of: things that a client did, in the order in which it did them."""

from __future__ import annotations

import msgspec

Field = tuple[bytes, bytes]


class Block:
    """A decoded and validated block of header fields; the same object whenever a client repeats the same bytes."""

    __slots__ = ("content_length", "fields", "memo")

    fields: tuple[Field, ...]
    """In the order of the wire, pseudo-header fields first."""
    content_length: int
    """In bytes, -1 when the block has none."""
    memo: object | None
    """Of the layer above: what it made of the fields, so that this is paid once for each distinct block."""

    def __init__(self, fields: tuple[Field, ...], content_length: int = -1) -> None:
        self.fields = fields
        self.content_length = content_length
        self.memo = None


class Headers(msgspec.Struct, gc=False):
    """A request begins, on a stream that was not seen before."""

    stream_id: int
    block: Block
    ended: bool
    """Whether the request has neither content nor trailers."""


class Trailers(msgspec.Struct, gc=False):
    """Header fields after the content; they always end the request."""

    stream_id: int
    block: Block


class Content(msgspec.Struct, gc=False):
    """A piece of a request's content; empty only when it ends the request."""

    stream_id: int
    payload: bytes
    ended: bool
    credit: int
    """Bytes of flow control, padding included, to be given back by `Connection.consume`."""


class Reset(msgspec.Struct, gc=False):
    """A stream ended early, by the client or for a mistake of the client's; who works on it must stop."""

    stream_id: int
    code: int


class GoneAway(msgspec.Struct, gc=False):
    """The client opens no more streams."""

    last_stream_id: int
    code: int


class Ponged(msgspec.Struct, gc=False):
    """The answer to a ping of ours."""

    payload: bytes


class Ended(msgspec.Struct, gc=False):
    """The connection broke the rules and is over: nothing more is received. Write what is left, then close it.

    No `Reset` is told for the streams that were open.
    """

    code: int
    reason: str


Event = Headers | Trailers | Content | Reset | GoneAway | Ponged | Ended
