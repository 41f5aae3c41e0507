"""The head of a call: which method, how long its client waits, what it sent along.

A head is parsed once for each distinct header block of a connection; see `Block.memo`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from coordinator.errors import Status
from coordinator.rpc import Bidi, Service, Unary
from coordinator.wire.front.replies import Refusal, encoding_refusal, http_refusal, refusal

TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
UNITS_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
WINDOW_BITS = {b"deflate": 15, b"gzip": 31}
"""For zlib, by encoding of messages."""
RESERVED = frozenset(
    {b"te", b"content-type", b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding"}
)
"""What the protocol says in metadata, and handlers are not told."""

WRONG_METHOD = http_refusal(
    405, Status.INTERNAL, "calls of gRPC are POST requests", (b"allow", b"POST")
)
WRONG_TYPE = http_refusal(
    415, Status.INVALID_ARGUMENT, "calls of gRPC have a content-type of application/grpc"
)


class Route:
    """A method as it is called."""

    __slots__ = ("call", "drains", "name", "parse", "unary")

    def __init__(self, method: Unary | Bidi) -> None:
        self.name = method.name
        self.unary = isinstance(method, Unary)
        self.drains = isinstance(method, Bidi) and method.drains
        self.call: Callable[..., Any] = method.call
        self.parse: Callable[[bytes], Any] = method.request.FromString


Routes = Mapping[bytes, Route]


def routes_of(services: Sequence[Service]) -> Routes:
    """Returns all methods by the path of their calls."""
    return {
        f"/{service.name}/{method.name}".encode(): Route(method)
        for service in services
        for method in service.methods
    }


class Head:
    """What the head of a call says. With a `refusal`, that is the whole reply, and nothing else of it counts."""

    __slots__ = ("_fields", "_metadata", "refusal", "route", "timeout_s", "window_bits")

    def __init__(self, fields: Sequence[tuple[bytes, bytes]], routes: Routes) -> None:
        self._fields = fields
        self._metadata: Mapping[str, str] | None = None
        self.timeout_s: float | None = None
        self.window_bits = 0
        """Of zlib, for messages that are compressed; 0: none may be."""
        self.route: Route | None = None
        self.refusal: Refusal | None = self._read(dict(fields), routes)

    def _read(self, named: dict[bytes, bytes], routes: Routes) -> Refusal | None:
        if named.get(b":method") != b"POST":
            return WRONG_METHOD
        if not _is_grpc(named.get(b"content-type", b"")):
            return WRONG_TYPE
        if named.get(b"te") != b"trailers":
            return refusal(Status.INTERNAL, "calls of gRPC say `te: trailers`")
        encoding = named.get(b"grpc-encoding", b"identity")
        if encoding != b"identity":
            if encoding not in WINDOW_BITS:
                return encoding_refusal(encoding.decode("ascii", "replace"))
            self.window_bits = WINDOW_BITS[encoding]
        if (timeout := named.get(b"grpc-timeout")) is not None:
            found = TIMEOUT.fullmatch(timeout)
            if found is None:
                return refusal(Status.INTERNAL, "Error parsing 'grpc-timeout' metadata")
            self.timeout_s = int(found[1]) * UNITS_S[found[2]]
        for name, value in self._fields:
            if name.endswith(b"-bin") and not all(map(_is_base64, value.split(b","))):
                words = f"Error parsing '{name.decode()}' metadata: illegal base64 encoding"
                return Refusal(Status.INTERNAL.value, refusal(Status.INTERNAL, words).block)
        self.route = routes.get(named.get(b":path", b""))
        if self.route is None:
            return refusal(Status.UNIMPLEMENTED, "Method not found!")
        return None

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the client sent along; binary entries left out; the last of several with one name."""
        if self._metadata is None:
            self._metadata = MappingProxyType(
                {
                    name.decode("ascii"): _text(value)
                    for name, value in self._fields
                    if name not in RESERVED and name[:1] != b":" and not name.endswith(b"-bin")
                }
            )
        return self._metadata


def _is_grpc(content_type: bytes) -> bool:
    kind = content_type[:16].lower()
    return kind == b"application/grpc" and content_type[16:17] in (b"", b"+", b";")


def _is_base64(value: bytes) -> bool:
    """Whether a value is base64, with padding or without."""
    value = value.strip().rstrip(b"=")
    try:
        base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return False
    return True


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
