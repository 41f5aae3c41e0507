"""HPACK, the reading side (RFC 7541): bytes to fields, with the dynamic table that clients fill.

The `hpack` package does the same, in seven times the time, and says nothing of changes of its table. Its Huffman
decoder is used here, and the tests hold this decoder against it.
"""

from __future__ import annotations

from hpack import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from coordinator.wire.http2.events import Field
from coordinator.wire.http2.failures import ConnectionFailure, ListTooLarge
from coordinator.wire.http2.frames import HEADER_TABLE_SIZE_BYTES_DEFAULT, Code

FIELD_OVERHEAD_BYTES = 32
"""That a field counts for beside its name and value (RFC 7541, section 4.1)."""
INTEGER_OCTETS_MAX = 5
"""After the prefix; enough for 32 bits. Longer integers are errors (RFC 7541, section 5.1)."""
STATIC_TABLE: tuple[Field, ...] = tuple(HeaderTable.STATIC_TABLE)
STATIC_LENGTH = len(STATIC_TABLE)


def _broken(reason: str) -> ConnectionFailure:
    return ConnectionFailure(Code.COMPRESSION_ERROR, reason)


class Decoder:
    """Decodes the header blocks of one connection, all of them, in the order in which they come."""

    __slots__ = (
        "_allowed",
        "_capacity",
        "_entries",
        "_list_max",
        "_size",
        "_update_due",
        "changes",
    )

    changes: int
    """Grows with whatever happens to the dynamic table: blocks decoded before mean something else after."""

    def __init__(self, list_size_bytes_max: int) -> None:
        self._list_max = list_size_bytes_max
        self._entries: list[Field] = []  # the newest last
        self._size = 0
        self._capacity = self._allowed = HEADER_TABLE_SIZE_BYTES_DEFAULT
        self._update_due = False
        self.changes = 0

    def allow(self, table_size_bytes: int) -> None:
        """Sets the largest table that the client may choose; a smaller one than its table has must be obeyed at once
        (RFC 7541, section 4.2)."""
        self._allowed = table_size_bytes
        self._update_due = self._capacity > table_size_bytes

    @property
    def table_size_bytes(self) -> int:
        return self._size

    def decode(self, block: bytes) -> list[Field]:
        """Returns the fields of a block.

        Raises:
            ConnectionFailure: it can't be decoded, and with it nothing after it.
            ListTooLarge: it could, but is larger than allowed.
        """
        try:
            return self._decode(block)
        except IndexError:
            raise _broken("truncated header block") from None
        except HPACKDecodingError:
            raise _broken("bad Huffman code") from None

    def _decode(self, block: bytes) -> list[Field]:
        fields: list[Field] = []
        room = self._list_max
        position, size = self._read_updates(block)
        while position < size:
            octet = block[position]
            if octet & 0x80:
                index = octet & 0x7F
                position += 1
                if index == 0x7F:
                    index, position = self._read_integer(block, position, index)
                field = self._look_up(index)
            elif octet & 0x40:
                field, position = self._read_literal(block, position, 0x3F)
                self._insert(field)
            elif octet & 0x20:
                raise _broken("table size update after a field")
            else:
                field, position = self._read_literal(block, position, 0x0F)
            room -= FIELD_OVERHEAD_BYTES + len(field[0]) + len(field[1])
            if room >= 0:  # Else the rest is only read for what it does to the table.
                fields.append(field)
        if room < 0:
            raise ListTooLarge
        return fields

    def _read_updates(self, block: bytes) -> tuple[int, int]:
        """Obeys the table size updates at the beginning; returns where they end, and where the block does."""
        position, size = 0, len(block)
        while position < size and block[position] & 0xE0 == 0x20:
            wanted = block[position] & 0x1F
            position += 1
            if wanted == 0x1F:
                wanted, position = self._read_integer(block, position, wanted)
            if wanted > self._allowed:
                raise _broken("table size update above the limit")
            self._capacity = wanted
            self._update_due = False
            self._evict(wanted)
            self.changes += 1
        if self._update_due:
            raise _broken("table size update missing")
        return position, size

    def _read_integer(self, block: bytes, position: int, number: int) -> tuple[int, int]:
        """The octets after a prefix that is full (RFC 7541, section 5.1)."""
        for shift in range(0, 7 * INTEGER_OCTETS_MAX, 7):
            octet = block[position]
            position += 1
            number += (octet & 0x7F) << shift
            if octet < 0x80:
                return number, position
        raise _broken("integer too long")

    def _look_up(self, index: int) -> Field:
        if 0 < index <= STATIC_LENGTH:
            return STATIC_TABLE[index - 1]
        entries = self._entries
        at = len(entries) + STATIC_LENGTH - index
        if at < 0 or index == 0:
            raise _broken("index outside of the tables")
        return entries[at]

    def _read_literal(self, block: bytes, position: int, prefix: int) -> tuple[Field, int]:
        index = block[position] & prefix
        position += 1
        if index:
            if index == prefix:
                index, position = self._read_integer(block, position, index)
            name = self._look_up(index)[0]
        else:
            name, position = self._read_string(block, position)
        value, position = self._read_string(block, position)
        return (name, value), position

    def _read_string(self, block: bytes, position: int) -> tuple[bytes, int]:
        octet = block[position]
        length = octet & 0x7F
        position += 1
        if length == 0x7F:
            length, position = self._read_integer(block, position, length)
        end = position + length
        if end > len(block):
            raise _broken("truncated string")
        string = block[position:end]
        return (decode_huffman(string) if octet & 0x80 else string), end

    def _insert(self, field: Field) -> None:
        size = FIELD_OVERHEAD_BYTES + len(field[0]) + len(field[1])
        self.changes += 1
        if self._size + size > self._capacity:
            self._evict(self._capacity - size)
            if size > self._capacity:  # It empties the table, and has no place in it (section 4.4).
                return
        self._entries.append(field)
        self._size += size

    def _evict(self, size_bytes_max: int) -> None:
        entries = self._entries
        gone = 0
        while self._size > size_bytes_max and gone < len(entries):
            name, value = entries[gone]
            self._size -= FIELD_OVERHEAD_BYTES + len(name) + len(value)
            gone += 1
        del entries[:gone]
