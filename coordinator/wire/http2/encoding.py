"""HPACK, the writing side (RFC 7541), without the dynamic table: blocks that mean the same on every connection."""

from __future__ import annotations

from collections.abc import Iterable

from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.table import HeaderTable

from coordinator.wire.http2.events import Field

_HUFFMAN = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
PACKED_SIZE_BYTES_MAX = 512
"""Of a string that is written in Huffman code: what that takes grows with the square of the size."""
TABLE_SIZE_ZERO = b"\x20"
"""A table size update: says to a client with a smaller table than usual that none is used."""


def encode_block(fields: Iterable[Field]) -> bytes:
    """Returns fields as a header block that neither uses nor changes a dynamic table, so it can be kept and shared."""
    return b"".join(_encode_field(name, value) for name, value in fields)


def _encode_field(name: bytes, value: bytes) -> bytes:
    known = HeaderTable.STATIC_TABLE_MAPPING.get(name)
    if known is None:
        return b"\x00" + _encode_string(name) + _encode_string(value)
    index, values = known
    if value in values:
        return _encode_integer(values[value], 0x7F, 0x80)
    return _encode_integer(index, 0x0F, 0x00) + _encode_string(value)


def _encode_string(string: bytes) -> bytes:
    if 0 < len(string) <= PACKED_SIZE_BYTES_MAX:
        packed = _HUFFMAN.encode(string)
        if len(packed) < len(string):
            return _encode_integer(len(packed), 0x7F, 0x80) + packed
    return _encode_integer(len(string), 0x7F, 0x00) + string


def _encode_integer(number: int, prefix: int, pattern: int) -> bytes:
    if number < prefix:
        return bytes((pattern | number,))
    octets = [pattern | prefix]
    number -= prefix
    while number >= 0x80:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)
