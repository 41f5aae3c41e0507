"""What changes the state: commands, and the bundles in which they travel through the log.

An entry of the log is one byte, the format version, and a msgpack array of proposals; the consensus
room never looks inside. A proposal is `[origin, number, command]`: the member that proposed it and
the number by which that member recognises it when it is applied. Neither is part of the state.
Proposals of a bundle are independent: each has its own result, and one that can't be decoded or
fails touches no other.

Fields may be added at the end of a struct, with a default that means what their absence meant;
nothing is ever removed or reordered, so that an old log means the same for ever.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from coordinator.state.model import Cause

FORMAT_VERSION = 1


class Selector(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The half-open range [key, end). `end` None: the one key. `end` empty: no upper end."""

    key: bytes
    end: bytes | None = None


class RequestId(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Makes a write apply once: number `sequence` of `session`; results below `acknowledged_below` may go."""

    session: int
    sequence: int
    acknowledged_below: int = 0


class Operator(enum.IntEnum):
    """The numbers are those of `coordinator.v1.Compare.Operator`."""

    EQUAL = 0
    NOT_EQUAL = 1
    LESS = 2
    LESS_OR_EQUAL = 3
    GREATER = 4
    GREATER_OR_EQUAL = 5


class Target(enum.IntEnum):
    """Which property of a key a compare looks at."""

    VALUE = 0
    VERSION = 1
    CREATE_REVISION = 2
    MOD_REVISION = 3
    SESSION = 4
    EXISTS = 5


class Compare(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One condition; over a range it must hold for every key there.

    Where no key matches, compares of numbers see zeros and a compare of the value fails. EXISTS takes the operand
    1 (at least one key matches) or 0, with EQUAL or NOT_EQUAL.
    """

    selector: Selector
    operator: Operator
    target: Target
    operand: bytes | int


class Order(enum.IntEnum):
    """By which property of the keys a range is sorted."""

    KEY = 0
    VERSION = 1
    CREATE_REVISION = 2
    MOD_REVISION = 3
    VALUE = 4


# --- operations: inside a Txn, and inside commands --------------------------------------------


class Range(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="r"):
    """Reads keys; see `coordinator.v1.RangeRequest` for the meaning of each field."""

    selector: Selector
    revision: int = 0
    limit: int = 0
    keys_only: bool = False
    count_only: bool = False
    delimiter: bytes = b""
    start_after: bytes = b""
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0
    """Keys below a minimum or above a maximum are left out, before the limit, but counted; 0: no bound."""
    order: Order = Order.KEY
    """Keys that are equal in it stand in ascending order of the key. Sorting, too, comes before the limit."""
    descending: bool = False


class Put(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="p"):
    """Writes a key. With `sequence`, a number counted per parent is appended to it.

    A key that keeps its value or its session must exist.
    """

    key: bytes
    value: bytes
    session: int = 0
    prev_kv: bool = False
    sequence: bool = False
    keep_value: bool = False
    keep_session: bool = False


class DeleteRange(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="d"):
    """Deletes keys; without a match it changes nothing and takes no revision."""

    selector: Selector
    prev_kv: bool = False
    cause: Cause = Cause.DELETED


class Txn(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """Runs `success` if all compares hold, else `failure`: atomically, in at most one new revision.

    With `decided_first`, looked at in the outermost one, all compares, those of inner transactions too, see the keys as
    they are before the first operation; and whether every put has its session and the key that it keeps something of,
    and after these whether every range can read its revision, is checked before that as well.
    """

    compares: tuple[Compare, ...]
    success: tuple[Range | Put | DeleteRange | Txn, ...] = ()
    failure: tuple[Range | Put | DeleteRange | Txn, ...] = ()
    decided_first: bool = False


Op = Range | Put | DeleteRange | Txn


# --- commands: what a proposal carries ----------------------------------------------------------


class Write(msgspec.Struct, frozen=True, array_like=True, tag="w"):
    """A client's put, delete or transaction."""

    op: Put | DeleteRange | Txn
    request: RequestId | None = None


class Compact(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """Forgets history up to and including `revision`; the newest version of each key stays."""

    revision: int
    request: RequestId | None = None


class SessionOpen(msgspec.Struct, frozen=True, array_like=True, tag="so"):
    """Opens a session under an id that the proposer chose."""

    id: int
    ttl_ms: int
    disconnect_grace_ms: int | None = None
    metadata: tuple[tuple[str, str], ...] = ()


class SessionClose(msgspec.Struct, frozen=True, array_like=True, tag="sc"):
    """Ends a session and deletes its keys, in one revision."""

    id: int
    request: RequestId | None = None


class Heir(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A session that takes over keys of sessions that end. It is opened when it takes the first one."""

    id: int
    ttl_ms: int
    metadata: tuple[tuple[str, str], ...] = ()


class Keep(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A key that outlives its session: it moves to an heir as it is, and another one, its mark, says so.

    Passed over if the session does not own the key any more. The mark is written under the heir if it still has the
    `mark_revision` that it had when this was decided (0: it did not exist); otherwise somebody has written it since,
    and it goes with the key as it is, if it belongs to the same session.
    """

    session: int
    key: bytes
    heir: int
    mark: bytes
    mark_value: bytes
    mark_revision: int


class SessionExpire(msgspec.Struct, frozen=True, array_like=True, tag="se"):
    """Ends sessions whose deadline has passed, each in a revision of its own if it owns keys.

    Ignored unless `term` is that of the newest `LeaderElected` applied: a deposed leader ends nobody.
    Ids that are not open are passed over. Their keys are deleted, but for those that `kept` names: these go to one of
    the `heirs`, in the same revision.
    """

    term: int
    ids: tuple[int, ...]
    cause: Cause = Cause.SESSION_EXPIRED
    heirs: tuple[Heir, ...] = ()
    kept: tuple[Keep, ...] = ()


class LeaderElected(msgspec.Struct, frozen=True, array_like=True, tag="le"):
    """Opens the term of a leader. The first one ever gives the cluster its id."""

    term: int
    cluster_id: int


class DigestCheck(msgspec.Struct, frozen=True, array_like=True, tag="dc"):
    """Changes nothing: marks the place in the log at which all members compare the digests of their states.

    `definition` says what the digest is made of (`tally.DEFINITION`): members that know another one keep out of it.
    """

    definition: int


Command = Write | Compact | SessionOpen | SessionClose | SessionExpire | LeaderElected | DigestCheck


class Proposal(msgspec.Struct, frozen=True, array_like=True):
    """A command on its way, with the mark by which its proposer recognises it."""

    origin: int
    number: int
    command: msgspec.Raw


_encoder = msgspec.msgpack.Encoder()
_command_decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_proposal_decoder = msgspec.msgpack.Decoder(Proposal)
_bundle_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])


def encode_command(command: Command) -> bytes:
    """Returns the bytes of a command, as they stand in a proposal."""
    return _encoder.encode(command)


def decode_command(data: bytes | msgspec.Raw) -> Command:
    """Returns the command in `data`; raises ValueError or RecursionError if there is none."""
    return _command_decoder.decode(data)


def encode_proposal(origin: int, number: int, command: Command | bytes) -> bytes:
    """Returns the bytes of a proposal, as they stand in a bundle; the command may be encoded already."""
    inner = msgspec.Raw(command) if isinstance(command, bytes) else command
    return _encoder.encode((origin, number, inner))


def decode_proposal(data: bytes | msgspec.Raw) -> Proposal:
    """Returns the proposal in `data`, its command not yet decoded; raises ValueError."""
    return _proposal_decoder.decode(data)


def encode_bundle(proposals: Iterable[bytes]) -> bytes:
    """Returns one entry of the log from encoded proposals."""
    return bytes((FORMAT_VERSION,)) + _encoder.encode([msgspec.Raw(p) for p in proposals])


def decode_bundle(entry: bytes) -> list[msgspec.Raw]:
    """Returns the encoded proposals of an entry; raises ValueError for an unknown version or broken bytes."""
    if not entry or entry[0] != FORMAT_VERSION:
        raise ValueError(f"unknown entry format {entry[:1].hex() or 'empty'}")
    return _bundle_decoder.decode(memoryview(entry)[1:])
