"""What the state comes to: hashes of its records that add up, and sizes.

The digest of the state is made of sums of hashes, so that each change moves it by what it changed, whatever else there
is. Sums do not depend on the order in which they came about. They find accidents, not forgeries: whoever may choose
records could make two states with equal sums.

    keys        every live key
    history     every revision since compaction, with its events, the keys before them, and causes
    sessions    every open session
    results     every result of a numbered request, and what each session acknowledged
    counters    the next sequence number of every parent

A size is the bytes of keys, values and encoded records, and RECORD_OVERHEAD_BYTES for each record beside them:

    live key, old version   key + value + overhead
    event of history        key + overhead
    session, result         encoded + overhead
    counter                 parent + overhead

Old versions are what events replaced or deleted: both count until history is compacted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import msgspec
import xxhash

from coordinator.state.model import Event, KeyValue

RECORD_OVERHEAD_BYTES = 256
"""About what a record takes in memory beyond its bytes, whatever its kind. Part of the state: never to be changed."""

DEFINITION = 1
"""To be raised whenever equal states come to another digest than before."""

_MASK = (1 << 128) - 1

encode = msgspec.msgpack.Encoder().encode
_digest, _hash = xxhash.xxh3_128_digest, xxhash.xxh3_128_intdigest
_number = int.from_bytes


class Tally(NamedTuple):
    """Sums of hashes, and the size of all of it."""

    keys: int
    history: int
    sessions: int
    results: int
    counters: int
    size_bytes: int

    def digest(self, *numbers: int) -> str:
        """Returns a hash of this and of numbers: 128 bits, in hexadecimal."""
        sums = [(sum & _MASK).to_bytes(16, "big") for sum in self[:-1]]
        return xxhash.xxh3_128_hexdigest(encode((numbers, self.size_bytes, sums)))


def hash_of(record: object) -> int:
    """Returns the hash of a record."""
    return _hash(encode(record))


def weigh(revision: int, place: int, event: Event) -> tuple[int, int, int, int]:
    """Returns what the event adds that is the one at `place` of its revision.

    These are hash and size of what it makes of the keys, and hash and size of what it adds to history. A key is hashed
    once for both: to history it is its digest.
    """
    key, kv, prev = event.key, event.kv, event.prev
    after = before = b""
    keys_hash = keys_size = 0
    history_size = len(key) + RECORD_OVERHEAD_BYTES
    if kv is not None:
        after = _digest(encode(kv))
        keys_hash = _number(after, "big")
        keys_size = len(key) + len(kv.value) + RECORD_OVERHEAD_BYTES
    if prev is not None:
        before = _digest(encode(prev))
        keys_hash -= _number(before, "big")
        old_size = len(key) + len(prev.value) + RECORD_OVERHEAD_BYTES
        keys_size -= old_size
        history_size += old_size
    change = encode((revision, place, key, event.cause)) + after + before
    return keys_hash, keys_size, _hash(change), history_size


def hash_of_result(session: int, sequence: int, revision: int, result: bytes) -> int:
    """Returns the hash of what a numbered request came to; the result is encoded."""
    return _hash(encode((session, sequence, revision)) + result)


def size_of_key(kv: KeyValue) -> int:
    return len(kv.key) + len(kv.value) + RECORD_OVERHEAD_BYTES


def hash_of_floor(session: int, floor: int) -> int:
    """Returns the hash of what a session acknowledged: in proportion, so that none is nothing."""
    return _hash_of_id(session) * floor


@lru_cache(maxsize=4096)
def _hash_of_id(session: int) -> int:
    return hash_of(session)
