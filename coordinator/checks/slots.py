"""Which node checks which instance: instances fall into slots, and slots to nodes. All nodes come to the same."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection

SLOTS = 64
"""All nodes must have the same number, so it is no setting."""

ROOT = b"/system/checks/"
ROOT_END = b"/system/checks0"
_NODES = ROOT + b"nodes/"
_SLOTS = ROOT + b"slots/"


def slot_of(service: str, id: str) -> int:
    """Returns the slot of an instance."""
    return zlib.crc32(f"{service}/{id}".encode()) % SLOTS


def slot_key(slot: int) -> bytes:
    """Returns the key whose owner runs the checks of a slot."""
    return _SLOTS + b"%03d" % slot


def node_key(name: str) -> bytes:
    """Returns the key by which a node takes part."""
    return _NODES + name.encode()


def read_slot(key: bytes) -> int | None:
    """Returns the slot that a key stands for; None for any other key."""
    digits = key.removeprefix(_SLOTS)
    if not key.startswith(_SLOTS) or len(digits) != 3 or not digits.isdigit():
        return None
    return int(digits) if int(digits) < SLOTS else None


def share_of(name: str, names: Collection[str]) -> frozenset[int]:
    """Returns the slots that a node should hold while just these take part.

    Rendezvous hashing: when a node comes or goes, no slot moves between two others.
    """
    return frozenset(
        slot
        for slot in range(SLOTS)
        if max(names, key=lambda other: (_weight(slot, other), other), default="") == name
    )


def _weight(slot: int, name: str) -> bytes:
    return hashlib.blake2b(b"%d/" % slot + name.encode(), digest_size=8).digest()
