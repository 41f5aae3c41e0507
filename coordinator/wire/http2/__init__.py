"""HTTP/2 for servers, without any input or output; DESIGN.md beside this package says why it is as it is."""

from coordinator.wire.http2.connection import Connection
from coordinator.wire.http2.counters import Counters
from coordinator.wire.http2.encoding import encode_block
from coordinator.wire.http2.events import (
    Block,
    Content,
    Ended,
    Event,
    Field,
    GoneAway,
    Headers,
    Ponged,
    Reset,
    Trailers,
)
from coordinator.wire.http2.frames import Code
from coordinator.wire.http2.limits import Http2Limits, Rate

__all__ = [
    "Block",
    "Code",
    "Connection",
    "Content",
    "Counters",
    "Ended",
    "Event",
    "Field",
    "GoneAway",
    "Headers",
    "Http2Limits",
    "Ponged",
    "Rate",
    "Reset",
    "Trailers",
    "encode_block",
]
