"""Which header fields a request may have (RFC 9113, sections 8.2 and 8.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from coordinator.wire.http2.events import Block, Field
from coordinator.wire.http2.failures import Malformed

_NAME = re.compile(rb"[!-9;-@\[-~]+")
"""No controls, no blanks, no upper case, no colon, nothing above ASCII (section 8.2.1)."""
_BAD_VALUE = re.compile(rb"[\0\r\n]|^[ \t]|[ \t]\Z")
_DIGITS = re.compile(rb"[0-9]{1,18}")
_CONNECTION_FIELDS = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_PSEUDO_FIELDS = frozenset({b":method", b":scheme", b":path", b":authority"})


def make_request(fields: Sequence[Field]) -> Block:
    """Returns the block of a request's beginning; raises `Malformed` if HTTP forbids it."""
    pseudo: dict[bytes, bytes] = {}
    for name, value in fields:
        if name[:1] != b":":
            break
        if name not in _PSEUDO_FIELDS or name in pseudo:
            raise Malformed
        if _BAD_VALUE.search(value):
            raise Malformed
        pseudo[name] = value
    _check_target(pseudo)
    rest = fields[len(pseudo) :]
    length = _check_fields(rest)
    _check_host(pseudo, rest)
    return Block(tuple(fields), length)


def make_trailers(fields: Sequence[Field]) -> Block:
    """Returns the block after a request's content; raises `Malformed` if HTTP forbids it."""
    _check_fields(fields)
    return Block(tuple(fields))


def _check_target(pseudo: dict[bytes, bytes]) -> None:
    """Sections 8.3.1 and 8.5."""
    method = pseudo.get(b":method", b"")
    if not _NAME.fullmatch(method.lower()):
        raise Malformed
    scheme, path = pseudo.get(b":scheme"), pseudo.get(b":path")
    if method == b"CONNECT":
        if scheme is not None or path is not None or not pseudo.get(b":authority"):
            raise Malformed
        return
    if not scheme or path is None:
        raise Malformed
    whole_server = path == b"*" and method == b"OPTIONS"
    if scheme in (b"http", b"https") and path[:1] != b"/" and not whole_server:
        raise Malformed


def _check_fields(fields: Sequence[Field]) -> int:
    """Checks all but the pseudo-header fields; returns the content length, -1 if there is none."""
    length = -1
    for name, value in fields:
        if not _NAME.fullmatch(name) or _BAD_VALUE.search(value) or name in _CONNECTION_FIELDS:
            raise Malformed
        if name == b"te" and value.lower() != b"trailers":
            raise Malformed
        if name == b"content-length":
            if not _DIGITS.fullmatch(value) or length not in (-1, int(value)):
                raise Malformed
            length = int(value)
    return length


def _check_host(pseudo: dict[bytes, bytes], fields: Sequence[Field]) -> None:
    """Section 8.3.1: what stands for the host must not differ from what the host is."""
    authority = pseudo.get(b":authority")
    if authority is None:
        return
    for name, value in fields:
        if name == b"host" and value.lower() != authority.lower():
            raise Malformed
