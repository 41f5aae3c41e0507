"""Mistakes of a client, as exceptions that never leave this package.

Failure
├── ConnectionFailure   the connection is over (RFC 9113, section 5.4.1)
├── Malformed           a block of fields that HTTP forbids: its stream is over (section 8.1.1)
└── ListTooLarge        a block with more fields than is allowed (section 10.5.1)
"""

from __future__ import annotations


class Failure(Exception):
    """All below."""


class ConnectionFailure(Failure):
    """The connection can't go on."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Malformed(Failure):
    """The fields of a request break a rule of HTTP."""


class ListTooLarge(Failure):
    """The fields of a request are too many or too long; the dynamic table knows of them all the same."""
