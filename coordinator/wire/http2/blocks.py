"""Header blocks of a connection: each distinct one is decoded and checked once while the dynamic table rests."""

from __future__ import annotations

import contextlib

from coordinator.wire.http2.decoding import Decoder
from coordinator.wire.http2.events import Block
from coordinator.wire.http2.failures import ListTooLarge, Malformed
from coordinator.wire.http2.fields import FieldChecker
from coordinator.wire.http2.limits import Http2Limits


class BlockReader:
    """Reads all header blocks of a connection, in order.

    A block means the same again as long as the dynamic table has not changed since, so what was read from it is kept
    under its bytes. Blocks that change the table are not kept, and whatever was kept goes when it changes.
    """

    __slots__ = ("_checker", "_decoder", "_entries_max", "_kept", "_kept_size", "_size_max")

    def __init__(self, limits: Http2Limits) -> None:
        self._decoder = Decoder(limits.header_list_size_bytes_max)
        self._checker = FieldChecker()
        self._kept: dict[bytes, Block] = {}
        self._kept_size = 0
        self._entries_max = limits.block_cache_entries_max
        self._size_max = limits.block_cache_size_bytes_max

    def allow(self, table_size_bytes: int) -> None:
        """As `Decoder.allow`."""
        self._decoder.allow(table_size_bytes)

    def read_request(self, raw: bytes) -> Block:
        """Returns the fields that begin a request; raises `Malformed`, `ListTooLarge` or `ConnectionFailure`."""
        block = self._kept.get(raw)
        if block is not None:
            return block
        decoder = self._decoder
        changes = decoder.changes
        try:
            fields = decoder.decode(raw)
        finally:
            if decoder.changes != changes:
                self._forget()
        block = self._checker.make_request(fields)
        if decoder.changes == changes:
            self._keep(raw, block)
        return block

    def read_trailers(self, raw: bytes) -> Block:
        """Returns the fields that end a request; raises as `read_request`."""
        changes = self._decoder.changes
        try:
            fields = self._decoder.decode(raw)
        finally:
            if self._decoder.changes != changes:
                self._forget()
        return self._checker.make_trailers(fields)

    def skip(self, raw: bytes) -> None:
        """Reads a block for what it does to the dynamic table; raises `ConnectionFailure`."""
        with contextlib.suppress(Malformed, ListTooLarge):
            self.read_trailers(raw)

    def _keep(self, raw: bytes, block: Block) -> None:
        size = len(raw) + sum(len(name) + len(value) + 32 for name, value in block.fields)
        if size > self._size_max:
            return
        if len(self._kept) >= self._entries_max or self._kept_size + size > self._size_max:
            self._forget()
        self._kept[raw] = block
        self._kept_size += size

    def _forget(self) -> None:
        self._kept.clear()
        self._kept_size = 0
