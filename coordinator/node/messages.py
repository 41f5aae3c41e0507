"""What nodes say to each other beside consensus. Small, typed, and distrusted by whoever receives it."""

from __future__ import annotations

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


class KeepAlive(msgspec.Struct, frozen=True, array_like=True, tag="k"):
    """Sessions whose clients said that they are alive, since the message before."""

    number: int
    ids: tuple[int, ...]


class KeepAliveReply(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """`ttls_ms` has one entry per id: the TTL that was renewed, or 0 for a session that is gone.

    None: nothing is known, because the receiver does not lead or could not confirm that it does.
    """

    number: int
    ttls_ms: tuple[int, ...] | None


Message = Forward | Refused | KeepAlive | KeepAliveReply

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode_message(message: Message) -> bytes:
    """Returns the bytes of a message."""
    return _encoder.encode(message)


def decode_message(payload: bytes) -> Message:
    """Returns the message in `payload`; raises ValueError or RecursionError if there is none."""
    return _decoder.decode(payload)
