"""What commands and queries come back with. A failure is a value, never an exception: every node computes the same."""

from __future__ import annotations

import enum

import msgspec

from coordinator.state.model import Batch, KeyValue, Session


class Code(enum.IntEnum):
    """Why a command changed nothing, or a query has no answer."""

    UNDECODABLE = 1
    COMPACTED = 2
    FUTURE_REVISION = 3
    SESSION_NOT_FOUND = 4
    SESSION_EXISTS = 5
    DUPLICATE_KEY = 6
    SEQUENCE_EXHAUSTED = 7
    """The parent's counter has passed ten digits."""
    REQUEST_FORGOTTEN = 8
    """The numbered request is below what its client acknowledged, or its session ended: outcome unknown."""
    REQUEST_WINDOW = 9
    """Too many results of the session, or too large ones, are not acknowledged."""
    TOO_MUCH_WORK = 10
    """The command looks at or changes more keys than one command may."""
    KEY_NOT_FOUND = 11
    """A put keeps something of a key that does not exist."""


class Failure(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="f"):
    """The command changed nothing. `message` is for people; `value` is the number that belongs to the code."""

    code: Code
    message: str
    value: int = 0
    """COMPACTED: the compacted revision; FUTURE_REVISION: the current one; SESSION_*: the session."""


class RangeResult(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="r"):
    """Keys in ascending order, child prefixes in ascending order, and the number of matches beyond any limit."""

    kvs: tuple[KeyValue, ...]
    children: tuple[bytes, ...] = ()
    more: bool = False
    count: int = 0


class PutResult(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="p"):
    """The key that was written (with its sequence number), and the one before if asked for."""

    key: bytes
    prev: KeyValue | None = None


class DeleteResult(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="d"):
    """The number of keys deleted, and the keys if asked for."""

    deleted: int
    prevs: tuple[KeyValue, ...] = ()


class TxnResult(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="t"):
    """Which branch ran and what its operations returned."""

    succeeded: bool
    responses: tuple[RangeResult | PutResult | DeleteResult | TxnResult, ...]


class SessionResult(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="s"):
    """The session after opening it, or as it was when it ended."""

    session: Session
    deleted: int = 0


class Done(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="o"):
    """Nothing to report."""


Result = RangeResult | PutResult | DeleteResult | TxnResult | SessionResult | Done | Failure


class Outcome(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What one proposal of a bundle came to."""

    origin: int
    number: int
    revision: int
    """The store's revision after the proposal."""
    result: Result


class Applied(msgspec.Struct, frozen=True):
    """What applying one entry came to."""

    outcomes: list[Outcome]
    """One per proposal, in order."""
    batches: list[Batch]
    """The new revisions, in order; consecutive."""
    opened: list[Session]
    """Sessions opened, in order."""
    ended: list[int]
    """Ids of sessions closed or expired, in order."""
    elected: int | None = None
    """The term of the last LeaderElected in the entry, if there was one."""
    check: int | None = None
    """The definition in the last DigestCheck in the entry, if there was one."""
