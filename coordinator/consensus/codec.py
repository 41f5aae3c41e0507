"""Messages between members, and how they travel.

On the wire a message is `u32 length | u32 crc32 | payload`, numbers little-endian, the payload MessagePack of a tagged
array. Decoding is typed and strict: unknown tags, missing or extra fields and numbers out of range are errors.
"""

from __future__ import annotations

import struct
import zlib
from typing import Annotated, Final

import msgspec

PROTOCOL_VERSION: Final = 3
HELLO_SIZE_BYTES_MAX: Final = 4_096
HEADER: Final = struct.Struct("<II")

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 62))]
"""A term, index, offset or size."""
Id = Annotated[int, msgspec.Meta(gt=0, le=(1 << 63) - 1)]
Text = Annotated[str, msgspec.Meta(max_length=255)]


class CodecError(ValueError):
    """Bytes that are no message."""


class Hello(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    """First message of each side of a connection; the side that accepted answers."""

    protocol: Count
    cluster_key: int
    member: Id
    name: Text
    client_address: Text


class Ping(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    """Shows that the sender is there; sent when there was nothing else to send."""


class RequestVote(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3):
    """A candidate asks for a vote (Ongaro 2014, figure 3.1).

    `transfer`: the leader asked for this election, so that hearing from it is no reason to refuse (section 4.2.3).
    """

    term: Count
    last_index: Count
    last_term: Count
    transfer: bool = False


class Vote(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4):
    """A granted vote. One that is refused is not answered."""

    term: Count


class Append(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=5):
    """The leader's entries from `prev_index + 1` on; without any it is a heartbeat or a commit notice."""

    term: Count
    prev_index: Count
    prev_term: Count
    commit_index: Count
    entries: tuple[tuple[Count, bytes], ...]
    """(term, content) of each."""
    notice: bool = False
    """Nothing but the commit index is new, and no answer is asked for: only who can't take it says so."""


class AppendAck(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=6):
    """Answers an Append.

    Not rejected: the follower's log equals the leader's up to `index`, and that is on its disk.
    Rejected: the logs differ at `prev_index`, and `index` is where the leader may try next.
    """

    term: Count
    rejected: bool
    prev_index: Count
    index: Count


class TermNotice(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=7):
    """Tells the sender of a message with an old term which term it is."""

    term: Count


class Probe(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=8):
    """The leader asks whether it still leads."""

    term: Count
    round: Count


class ProbeAck(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=9):
    """The sender knows no newer term than that of the probe."""

    term: Count
    round: Count


class ReadRequest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=10):
    """A follower asks for an index that contains everything committed before now."""

    round: Count


class ReadReply(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=11):
    """Answers a ReadRequest."""

    round: Count
    index: Count


class SnapshotChunk(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=12
):
    """Part of the leader's snapshot file of (`index`, `snapshot_term`), `size` bytes in all."""

    term: Count
    index: Count
    snapshot_term: Count
    size: Count
    offset: Count
    content: bytes


class SnapshotAck(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=13):
    """The follower has `offset` bytes of the snapshot; `resend`: it needs what comes after them again."""

    term: Count
    index: Count
    offset: Count
    resend: bool


class Payload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=14):
    """Bytes from one member's application to another's."""

    content: bytes


class PreVote(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=15):
    """Asks whether a vote would be given in `term`, which nobody enters by this (Ongaro 2014, section 9.6)."""

    term: Count
    last_index: Count
    last_term: Count


class PreVoteGrant(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=16
):
    """A vote would be given in `term`. A refusal is silent."""

    term: Count


class TimeoutNow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=17):
    """The leader of `term` asks its follower to campaign at once (Ongaro 2014, section 3.10)."""

    term: Count


class Farewell(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=18):
    """The receiver was removed from the cluster, and that is committed. May take the place of a Hello."""


Message = (
    Hello
    | Ping
    | RequestVote
    | Vote
    | Append
    | AppendAck
    | TermNotice
    | Probe
    | ProbeAck
    | ReadRequest
    | ReadReply
    | SnapshotChunk
    | SnapshotAck
    | Payload
    | PreVote
    | PreVoteGrant
    | TimeoutNow
    | Farewell
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode_frame(message: Message) -> bytes:
    """Returns the message as it travels, header included."""
    payload = _encoder.encode(message)
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def decode_payload(payload: bytes | memoryview, checksum: int) -> Message:
    """Returns the message of one frame. Raises CodecError."""
    if zlib.crc32(payload) != checksum:
        raise CodecError("the checksum of a frame is wrong")
    try:
        return _decoder.decode(payload)
    except (
        ValueError,
        RecursionError,
    ) as error:  # what msgspec raises for bytes that it can't read
        raise CodecError(f"a frame holds no message: {error}") from None
