"""What nodes say to each other beside consensus. Small, typed, and distrusted by whoever receives it."""

from __future__ import annotations

from typing import Literal

import msgspec


class Forward(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    """Proposals for the leader of `term`, in ascending order of their numbers.

    `incarnation` is drawn at random when the sending process starts; numbers of another one mean nothing.
    """

    term: int
    incarnation: int
    proposals: tuple[msgspec.Raw, ...]


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """The leader did not append these proposals and never will."""

    numbers: tuple[int, ...]
    overloaded: bool = False
    no_space: str = ""
    """Not empty: they would have added to the state, and why there is no room."""


NOT_ATTACHED = -1
ONLY_LOOK = -2


class KeepAlive(msgspec.Struct, frozen=True, array_like=True, tag="k"):
    """Sessions whose clients said that they are alive, since the message before.

    `attachments` has one entry per id: the number that the leader gave the session's stream, 0 if
    it has none yet, NOT_ATTACHED if the keep-alive did not come over a stream whose end would be noticed, ONLY_LOOK if
    it is none, but the question how long the session has left.
    """

    number: int
    ids: tuple[int, ...]
    attachments: tuple[int, ...]


class Renewal(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What became of one keep-alive."""

    ttl_ms: int
    """The TTL that was renewed; 0: the session is gone."""
    attachment: int = 0
    """The number of the session's stream; numbers only grow."""
    left_ms: int = 0
    """How long the session has left, unless it is renewed again."""


class KeepAliveReply(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """One renewal per id; None: the receiver does not lead, or could not confirm that it does."""

    number: int
    renewals: tuple[Renewal, ...] | None


class ConnectionLost(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """Streams of clients broke: (session, number of the stream)."""

    attachments: tuple[tuple[int, int], ...]


class ChangeMembers(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """Asks the leader for one change of the members; `kind` says which of the fields after `id` count."""

    number: int
    timeout_ms: int
    kind: Literal["add", "promote", "remove", "move"]
    id: int
    name: str = ""
    address: str = ""
    force: bool = False


class Transfer(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """Asks the leader to hand over, to a certain member or to the one that is furthest."""

    number: int
    timeout_ms: int
    target: int | None


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """A RequestError on its way to whoever asked."""

    status: int
    reason: str
    message: str
    details: dict[str, str]


class AdministrationReply(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """What became of a `ChangeMembers` or `Transfer`."""

    number: int
    refusal: Refusal | None = None
    elsewhere: bool = False
    """Nothing was changed, as the receiver does not lead (any more): ask whoever does."""


class ProgressQuestion(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """How far are you?"""

    number: int


class Progress(msgspec.Struct, frozen=True, array_like=True, tag="g"):
    """Up to where a member has applied the log."""

    number: int
    applied_index: int


class DigestReport(msgspec.Struct, frozen=True, array_like=True, tag="i"):
    """What the state of the sender came to right after the entry at `index`, which held a `DigestCheck`."""

    index: int
    digest: str


class DiskReport(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """Whether the sender's disk is short of room. Told again and again while it is, and once when it is no more."""

    short: bool
    free_bytes: int


Message = (
    Forward
    | Refused
    | KeepAlive
    | KeepAliveReply
    | ConnectionLost
    | ChangeMembers
    | Transfer
    | AdministrationReply
    | ProgressQuestion
    | Progress
    | DigestReport
    | DiskReport
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode_message(message: Message) -> bytes:
    """Returns the bytes of a message."""
    return _encoder.encode(message)


def decode_message(payload: bytes) -> Message:
    """Returns the message in `payload`; raises ValueError or RecursionError if there is none."""
    return _decoder.decode(payload)
