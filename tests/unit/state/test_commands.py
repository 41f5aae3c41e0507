from __future__ import annotations

import msgspec
import pytest

from coordinator.state import commands
from coordinator.state.commands import (
    Command,
    Compact,
    Compare,
    DeleteRange,
    DigestCheck,
    Heir,
    Keep,
    LeaderElected,
    Operator,
    Put,
    Range,
    RequestId,
    Selector,
    SessionClose,
    SessionExpire,
    SessionOpen,
    Target,
    Txn,
    Write,
)
from coordinator.state.model import Cause
from coordinator_client.pb import kv_pb2

EVERYTHING: list[Command] = [
    Write(Put(b"a", b"1", 5, True, True), RequestId(5, 2, 1)),
    Write(DeleteRange(Selector(b"a", b""), True, Cause.DEREGISTERED)),
    Write(
        Txn(
            (Compare(Selector(b"a"), Operator.LESS, Target.VALUE, b"x"),),
            (Range(Selector(b"a", b"b"), 1, 2, True, True, b"/", b"a"), Txn(())),
            (Put(b"a", b""),),
        )
    ),
    Compact(9, RequestId(1, 1)),
    SessionOpen(1, 1000, 5, (("a", "b"),)),
    SessionClose(1, RequestId(1, 1)),
    SessionExpire(
        3,
        (1, 2),
        Cause.CONNECTION_LOST,
        (Heir(5, 1000, (("a", "b"),)),),
        (Keep(1, b"a", 5, b"m", b"v", 7),),
    ),
    LeaderElected(1, 2**64 - 1),
    DigestCheck(1),
]


@pytest.mark.parametrize("command", EVERYTHING, ids=lambda command: type(command).__name__)
def test_commands_come_back(command: Command) -> None:
    assert commands.decode_command(commands.encode_command(command)) == command


def test_bundle_keeps_order_and_marks() -> None:
    encoded = [commands.encode_command(command) for command in EVERYTHING]
    entry = commands.encode_bundle(
        commands.encode_proposal(4, number, command) for number, command in enumerate(encoded)
    )
    assert entry[0] == commands.FORMAT_VERSION
    proposals = [commands.decode_proposal(raw) for raw in commands.decode_bundle(entry)]
    assert [(p.origin, p.number) for p in proposals] == [(4, n) for n in range(len(EVERYTHING))]
    assert [commands.decode_command(p.command) for p in proposals] == EVERYTHING


@pytest.mark.parametrize("entry", [b"", b"\x00\x90", b"\x02\x90"])
def test_unknown_format_is_refused(entry: bytes) -> None:
    with pytest.raises(ValueError, match="unknown entry format"):
        commands.decode_bundle(entry)


def test_broken_bytes_are_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        commands.decode_bundle(b"\x01\x92\xc0")
    with pytest.raises(msgspec.DecodeError):
        commands.decode_command(commands.encode_command(Compact(9))[:-1])


def test_command_of_an_older_writer_means_what_it_meant() -> None:
    # A put as it would be without the fields that have defaults.
    assert commands.decode_command(msgspec.msgpack.encode(["w", ["p", b"a", b"1"]])) == Write(
        Put(b"a", b"1")
    )


def test_format_of_a_bundle_stays() -> None:
    command = commands.encode_command(Write(Put(b"a", b"1")))
    entry = commands.encode_bundle([commands.encode_proposal(1, 2, command)])
    assert entry.hex() == "019193010293a17798a170c40161c4013100c2c2c2c2c0"


def test_entries_of_older_writers_mean_the_same() -> None:
    put = Write(Put(b"a", b"1"))
    entry = bytes.fromhex("019193010293a17796a170c40161c4013100c2c2c0")
    proposal = commands.decode_proposal(commands.decode_bundle(entry)[0])
    assert commands.decode_command(proposal.command) == put
    txn = Txn((), (Range(Selector(b"a"), 3, 1, True),))
    old = msgspec.msgpack.encode(
        ["w", ["t", [], [["r", [b"a", None], 3, 1, True, False, b"", b""]], []], None]
    )
    assert commands.decode_command(old) == Write(txn)


def test_operators_are_numbered_as_on_the_wire() -> None:
    wire = dict(kv_pb2.Compare.Operator.items())
    assert wire == {operator.name: operator.value for operator in Operator}


def test_an_expiry_of_an_older_writer_keeps_nothing() -> None:
    old = msgspec.msgpack.encode(["se", 3, [1], 3])
    assert commands.decode_command(old) == SessionExpire(3, (1,), Cause.SESSION_EXPIRED, (), ())
