"""Header blocks of replies: those that nearly all calls share are made once.

The fields are those of the protocol document "gRPC over HTTP2". No block uses a dynamic table: it may go to any client.
"""

from __future__ import annotations

import base64
from functools import lru_cache

from coordinator.errors import RequestError, Status
from coordinator.wire.http2.encoding import encode_block
from coordinator.wire.terms import STATUS_METADATA, status_details

Fields = tuple[tuple[bytes, bytes], ...]

ENCODINGS = "identity, deflate, gzip"
"""Of messages that are read; those that are sent are never compressed."""
OK = 0

_CALL: Fields = ((b":status", b"200"), (b"content-type", b"application/grpc"))
_PRINTABLE = frozenset(range(0x20, 0x7F)) - {ord("%")}

HEADERS = encode_block(_CALL)
"""Before the first message of a reply."""
OK_TRAILERS = encode_block(((b"grpc-status", b"0"),))
OK_ALONE = encode_block((*_CALL, (b"grpc-status", b"0")))


def percent_encoded(words: str) -> bytes:
    """Returns a message as it stands in `grpc-message`: UTF-8, all but printable ASCII escaped."""
    encoded = words.encode("utf-8", "replace")
    if encoded.isascii() and words.isprintable() and b"%" not in encoded:
        return encoded
    return b"".join(bytes((byte,)) if byte in _PRINTABLE else b"%%%02X" % byte for byte in encoded)


class Ending:
    """How a call ends: the block for a reply that has begun, and that of one which is nothing but its status."""

    __slots__ = ("_fields", "status")

    def __init__(self, status: int, words: str = "", details: bytes = b"") -> None:
        """`details`: a serialized `google.rpc.Status`."""
        self.status = status
        fields = [(b"grpc-status", b"%d" % status)]
        if words:
            fields.append((b"grpc-message", percent_encoded(words)))
        if details:
            packed = base64.b64encode(details).rstrip(b"=")
            fields.append((STATUS_METADATA.encode(), packed))
        self._fields = tuple(fields)

    @property
    def after(self) -> bytes:
        """Trailers of a reply whose headers were sent."""
        return encode_block(self._fields)

    @property
    def alone(self) -> bytes:
        """Headers that are the whole reply."""
        return encode_block((*_CALL, *self._fields))


class Refusal:
    """The whole reply to a call that reaches no method."""

    __slots__ = ("block", "status")

    def __init__(self, status: int, block: bytes) -> None:
        self.status = status
        self.block = block


def error_ending(error: RequestError) -> Ending:
    """Returns the end of a call that a method, or its host, refused; an error without a reason has no details."""
    details = status_details(error) if error.reason else b""
    return Ending(error.status.value, error.message, details)


@lru_cache(maxsize=256)
def refusal(status: Status, words: str) -> Refusal:
    """Returns the reply to a call that is refused in words of the protocol."""
    return Refusal(status.value, Ending(status.value, words).alone)


def encoding_refusal(encoding: str) -> Refusal:
    """Returns the reply to a call whose messages are compressed in a way that nobody here knows."""
    words = f"{encoding!r:.40} is no encoding of messages known here; known are {ENCODINGS}"
    fields = (
        *_CALL,
        (b"grpc-status", b"%d" % Status.UNIMPLEMENTED.value),
        (b"grpc-message", percent_encoded(words)),
        (b"grpc-accept-encoding", ENCODINGS.encode()),
    )
    return Refusal(Status.UNIMPLEMENTED.value, encode_block(fields))


def http_refusal(
    http_status: int, status: Status, words: str, *more: tuple[bytes, bytes]
) -> Refusal:
    """Returns the reply to what is no call of gRPC, as HTTP says it; gRPC's clients find their own status in it."""
    fields = (
        (b":status", b"%d" % http_status),
        (b"content-type", b"application/grpc"),
        (b"grpc-status", b"%d" % status.value),
        (b"grpc-message", percent_encoded(words)),
        *more,
    )
    return Refusal(status.value, encode_block(fields))
