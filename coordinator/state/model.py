"""The values that the state machine is made of. All are immutable and shared freely."""

from __future__ import annotations

import enum

import msgspec


class Cause(enum.IntEnum):
    """Why a key was deleted. The numbers are those of `coordinator.v1.Cause`."""

    NONE = 0
    DELETED = 1
    SESSION_CLOSED = 2
    SESSION_EXPIRED = 3
    CONNECTION_LOST = 4
    CHECK_FAILED = 5
    DEREGISTERED = 6


class KeyValue(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One version of one key."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    session: int
    """The session that owns the key; 0: none."""


class Event(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One change of one key: a put if `kv` is set, else a delete of `key`."""

    key: bytes
    kv: KeyValue | None
    prev: KeyValue | None
    """The key before the change; None if it did not exist."""
    cause: Cause = Cause.NONE


class Batch(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """All changes of one revision, in the order in which they were made; no key occurs twice."""

    revision: int
    events: tuple[Event, ...]


class Session(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A lifetime that owns ephemeral keys."""

    id: int
    ttl_ms: int
    disconnect_grace_ms: int | None
    metadata: tuple[tuple[str, str], ...]
    """Pairs in ascending order."""
    open_revision: int
    """Revision of the store when the session was opened."""
