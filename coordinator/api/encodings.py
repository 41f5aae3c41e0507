"""Keys as ranges tell them, encoded once for all replies that hold them."""

from __future__ import annotations

from collections.abc import Iterable

from coordinator.api.framing import field
from coordinator.api.render import key_value
from coordinator.state.model import KeyValue
from coordinator_client.pb import kv_pb2

ENTRY_OVERHEAD_BYTES = 250
"""That an encoding costs beside its length."""

_KVS = kv_pb2.RangeResponse.DESCRIPTOR.fields_by_name["kvs"].number


class Encodings:
    """Encodings of versions of keys that were read lately, within a size.

    There are two halves: what is used goes to the new one, and when that is full the old one is dropped. A version is
    known by being the same object, as it never changes; keeping it keeps its place in memory from being another's.
    """

    def __init__(self, size_bytes_max: int) -> None:
        self._half_bytes_max = size_bytes_max // 2
        self._new: dict[int, tuple[KeyValue, bytes]] = {}
        self._old: dict[int, tuple[KeyValue, bytes]] = {}
        self._new_bytes = 0

    def of(self, kvs: Iterable[KeyValue]) -> list[bytes]:
        """Returns keys, each encoded as it stands in a `RangeResponse`."""
        encoded = []
        new = self._new
        for kv in kvs:
            place = id(kv)
            entry = new.get(place)
            if entry is None or entry[0] is not kv:
                entry = self._renew(place, kv)
                new = self._new
            encoded.append(entry[1])
        return encoded

    def _renew(self, place: int, kv: KeyValue) -> tuple[KeyValue, bytes]:
        entry = self._old.get(place)
        if entry is None or entry[0] is not kv:
            entry = (kv, field(_KVS, key_value(kv).SerializeToString()))
        size = len(entry[1]) + ENTRY_OVERHEAD_BYTES
        if size <= self._half_bytes_max:
            if self._new_bytes + size > self._half_bytes_max:
                self._old, self._new, self._new_bytes = self._new, {}, 0
            self._new[place] = entry
            self._new_bytes += size
        return entry
