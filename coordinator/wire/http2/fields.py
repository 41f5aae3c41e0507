"""Which header fields a request may have (RFC 9113, sections 8.2 and 8.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from coordinator.wire.http2.events import Block, Field
from coordinator.wire.http2.failures import Malformed

KNOWN_MAX = 128
"""Fields of a connection that need not be checked again."""
KNOWN_SIZE_BYTES_MAX = 128
"""Of a field that is remembered."""

_NAME = re.compile(rb"[!-9;-@\[-~]+")
"""No controls, no blanks, no upper case, no colon, nothing above ASCII (section 8.2.1)."""
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE = re.compile(rb"[\0\r\n]|^[ \t]|[ \t]\Z")
_DIGITS = re.compile(rb"[0-9]{1,18}")
_CONNECTION_FIELDS = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_PSEUDO_FIELDS = frozenset({b":method", b":scheme", b":path", b":authority"})


class FieldChecker:
    """Checks the fields of a connection's requests; fields that come again and again are checked once."""

    __slots__ = ("_known", "_targets")

    def __init__(self) -> None:
        self._known: set[Field] = set()
        self._targets: dict[tuple[Field, ...], bytes | None] = {}  # Pseudo fields, with their host.

    def make_request(self, fields: Sequence[Field]) -> Block:
        """Returns the block of a request's beginning; raises `Malformed` if HTTP forbids it."""
        count = 0
        for name, _ in fields:
            if name[:1] != b":":
                break
            count += 1
        target = tuple(fields[:count])
        if target in self._targets:
            host = self._targets[target]
        else:
            host = _check_target(target)
            if sum(len(name) + len(value) for name, value in target) <= KNOWN_SIZE_BYTES_MAX:
                if len(self._targets) >= KNOWN_MAX:
                    self._targets.clear()
                self._targets[target] = host
        length = self._check(fields, count, host)
        return Block(tuple(fields), length)

    def make_trailers(self, fields: Sequence[Field]) -> Block:
        """Returns the block after a request's content; raises `Malformed` if HTTP forbids it."""
        self._check(fields, 0, None)
        return Block(tuple(fields))

    def _check(self, fields: Sequence[Field], start: int, host: bytes | None) -> int:
        """Checks all that are no pseudo fields; returns the content's length, -1 if there is none."""
        known = self._known
        length = -1
        for field in fields[start:] if start else fields:
            if field in known:
                continue
            name, value = field
            if not _NAME.fullmatch(name) or _BAD_VALUE.search(value) or name in _CONNECTION_FIELDS:
                raise Malformed
            if name == b"content-length":
                if not _DIGITS.fullmatch(value) or length not in (-1, int(value)):
                    raise Malformed
                length = int(value)
            elif name == b"host":
                # It must not differ from the authority (section 8.3.1).
                if host is not None and value.lower() != host.lower():
                    raise Malformed
            elif name == b"te" and value.lower() != b"trailers":
                raise Malformed
            elif len(name) + len(value) <= KNOWN_SIZE_BYTES_MAX:
                if len(known) >= KNOWN_MAX:
                    known.clear()
                known.add(field)
        return length


def _check_target(target: tuple[Field, ...]) -> bytes | None:
    """Checks pseudo fields (sections 8.3.1 and 8.5); returns the host they name, if they do."""
    pseudo = dict(target)
    if len(pseudo) < len(target) or not pseudo.keys() <= _PSEUDO_FIELDS:
        raise Malformed
    if any(_BAD_VALUE.search(value) for value in pseudo.values()):
        raise Malformed
    method = pseudo.get(b":method", b"")
    scheme, path, host = (pseudo.get(name) for name in (b":scheme", b":path", b":authority"))
    if not _TOKEN.fullmatch(method):
        raise Malformed
    if method == b"CONNECT":
        if scheme is not None or path is not None or not host:
            raise Malformed
        return host
    if not scheme or path is None:
        raise Malformed
    if host and b"@" in host and scheme in (b"http", b"https"):
        raise Malformed  # A user's name has no place there.
    whole_server = path == b"*" and method == b"OPTIONS"
    if scheme in (b"http", b"https") and path[:1] != b"/" and not whole_server:
        raise Malformed
    return host
