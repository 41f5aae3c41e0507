"""Protobuf messages put together from parts that are encoded already (https://protobuf.dev/programming-guides/encoding/)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

_LENGTH = 2
"""The wire type of what has a length."""


def varint(number: int) -> bytes:
    """Returns a number, 0 <= number < 2^64, in groups of seven bits, the lowest first."""
    if number < 0x80:
        return bytes((number,))
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def varint_field(number: int, value: int) -> bytes:
    """Returns an unsigned field of a message."""
    return _tag(number << 3) + varint(value)


def field(number: int, content: bytes) -> bytes:
    """Returns a field that holds bytes or a message."""
    length = len(content)
    head = _SHORT[length] if length < 0x80 else varint(length)
    return _tag(number << 3 | _LENGTH) + head + content


def packed_field(number: int, values: Iterable[int]) -> bytes:
    """Returns a repeated field of unsigned numbers."""
    return field(number, b"".join(map(varint, values)))


_SHORT = tuple(bytes((length,)) for length in range(0x80))
_tag = lru_cache(maxsize=1024)(varint)
