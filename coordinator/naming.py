"""What members may be called, and how addresses are written."""

from __future__ import annotations

import re

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NAME_RULE = "1 to 63 letters, digits, dots, dashes and underscores, the first a letter or a digit"
ADDRESS_LENGTH_MAX = 300
"""Characters: the longest host name has 253."""


def check_name(name: str) -> None:
    """Raises ValueError, with a sentence, if no member may be called so."""
    if not NAME_PATTERN.fullmatch(name):
        raise ValueError(f"{name!r} must be {NAME_RULE}")


def split_address(address: str) -> tuple[str, int]:
    """Returns host and port of `host:port`; an IPv6 host stands in brackets. Raises ValueError with a sentence."""
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    plain = host[1:-1] if bracketed else host
    if not colon or not plain or (":" in host and not bracketed) or not _may_be_host(plain):
        raise ValueError(f"{address[:ADDRESS_LENGTH_MAX]!r} is not of the form host:port")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError(
            f"the port in {address[:ADDRESS_LENGTH_MAX]!r} must be a number from 1 to 65535"
        )
    return plain, int(port)


def _may_be_host(host: str) -> bool:
    return len(host) <= ADDRESS_LENGTH_MAX and not any(
        letter.isspace() or not letter.isprintable() or letter in "/[]," for letter in host
    )
