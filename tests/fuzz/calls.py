"""gRPC over HTTP/2: heads of calls, messages in pieces, and the first octets of a connection."""

from __future__ import annotations

import gzip

import hpack

from coordinator.wire.front.heads import Head, routes_of
from coordinator.wire.front.messages import Assembly, BrokenMessages
from coordinator.wire.front.opening import HTTP1_METHODS, PREFACE, Kind, kind_of
from tests.fuzz.target import Target, pack, unpack
from tests.unit.wire.echoing import Echoing
from tests.unit.wire.front.raw_client import call_fields, framed

SIZE_MAX = 10_000
GZIP = 31

_ROUTES = routes_of([Echoing().service()])
_PATH = "/test.Service/Echo"


def check_head(content: bytes) -> None:
    """A head: it names a method, or the whole reply is there."""
    parts = unpack(content)
    fields = list(zip(parts[::2], parts[1::2], strict=False))
    # Other names never come so far: they are checked below.
    fields = [(name, value) for name, value in fields if name.isascii()]
    head = Head(fields, _ROUTES)
    if head.refusal is None:
        assert head.route is not None and (head.timeout_s is None or head.timeout_s >= 0)
    else:
        assert 1 <= head.refusal.status <= 16
        decoded = hpack.Decoder().decode(head.refusal.block)
        replied = {str(name): str(value) for name, value in decoded}
        assert replied["grpc-status"] == str(head.refusal.status)
        assert replied["grpc-message"].isascii()
    assert not any(name.endswith("-bin") or name[:1] == ":" for name in head.metadata)


def check_messages(content: bytes) -> None:
    """Pieces: the same messages, or the same mistake, as all at once; none is too large."""
    pieces = unpack(content)
    whole = _taken([b"".join(pieces)])
    assert _taken(pieces) == whole
    assert all(len(message) <= SIZE_MAX for message in whole[0])


def _taken(pieces: list[bytes]) -> tuple[list[bytes], str]:
    messages: list[bytes] = []
    assembly = Assembly(SIZE_MAX, GZIP)
    for piece in pieces:
        try:
            assembly.feed(piece, messages.append)
        except BrokenMessages as broken:
            return messages, broken.words
        assert assembly.unfinished <= SIZE_MAX + 5
    return messages, ""


def check_opening(content: bytes) -> None:
    """First octets: what they are does not change as more come, and is known soon."""
    kinds = [kind_of(content[:size]) for size in range(min(len(content), 40) + 1)]
    known = [kind for kind in kinds if kind is not Kind.UNKNOWN]
    assert len(set(known)) <= 1
    assert kinds == [Kind.UNKNOWN] * (len(kinds) - len(known)) + known
    assert known or len(content) < len(PREFACE)


def _heads() -> list[bytes]:
    extras = [
        [],
        [("grpc-timeout", "10S"), ("grpc-encoding", "gzip"), ("user-agent", "x")],
        [("blob-bin", "AAEC,AAE="), ("note", "ä")],
    ]
    return [
        pack([part.encode() for field in call_fields(_PATH, extra) for part in field])
        for extra in extras
    ]


TARGETS = [
    Target("grpc-head", check_head, _heads),
    Target(
        "grpc-messages",
        check_messages,
        lambda: [
            pack([framed(b"abc") + framed(b"")[:3], framed(b"")[3:] + framed(b"x" * 300)]),
            pack([framed(gzip.compress(b"y" * 9_000, mtime=0), 1)]),
            pack([framed(gzip.compress(b"y" * 20_000, mtime=0), 1)]),
        ],
    ),
    Target("grpc-opening", check_opening, lambda: [PREFACE, *HTTP1_METHODS, b"GET / HTTP/1.1\r\n"]),
]
