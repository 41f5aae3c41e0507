"""Messages between nodes survive the wire, and junk does not."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coordinator.node.messages import (
    ConnectionLost,
    DigestReport,
    DiskReport,
    Forward,
    KeepAlive,
    KeepAliveReply,
    Message,
    Refused,
    Renewal,
    decode_message,
    encode_message,
)


@pytest.mark.parametrize(
    "message",
    [
        Forward(3, 4, (msgspec.Raw(b"\x01"), msgspec.Raw(b"\x02"))),
        Refused((1, 2), True),
        Refused((1, 2), no_space="full"),
        DigestReport(7, "ab"),
        DiskReport(True, 5),
        KeepAlive(1, (2, 3), (0, -1)),
        KeepAliveReply(1, (Renewal(0), Renewal(5, 6))),
        ConnectionLost(((1, 2),)),
        KeepAliveReply(1, None),
    ],
)
def test_messages_round_trip(message: Message) -> None:
    assert encode_message(decode_message(encode_message(message))) == encode_message(message)


@given(st.binary(max_size=200))
@example(b"\x92\xa1\xff\x01")
def test_junk_raises_only_what_is_said(junk: bytes) -> None:
    with contextlib.suppress(ValueError, RecursionError):
        decode_message(junk)
