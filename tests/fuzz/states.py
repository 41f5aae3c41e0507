"""Targets: entries of the log, snapshots of the state, and what nodes say to each other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache

import msgspec

from coordinator.errors import DamageError
from coordinator.node.messages import (
    AdministrationReply,
    ChangeMembers,
    ConnectionLost,
    Forward,
    KeepAlive,
    KeepAliveReply,
    Message,
    Progress,
    ProgressQuestion,
    Refusal,
    Refused,
    Renewal,
    Transfer,
    encode_message,
)
from coordinator.state.commands import (
    Compact,
    Put,
    Write,
    decode_bundle,
    encode_bundle,
    encode_command,
    encode_proposal,
)
from coordinator.state.machine import StateMachine
from tests.bus import Bus
from tests.fuzz.target import LOOP, Choices, Target, pack, unpack
from tests.unit.state.workload import PROLOGUE, Workload, bundle

# Entries.


def _machine() -> StateMachine:
    machine = StateMachine()
    machine.apply(bundle(PROLOGUE))
    return machine


def _look_at(machine: StateMachine) -> None:
    """Memory holds what the digest says, and another machine comes to the same from a snapshot."""
    finding = machine.scrub().step(1_000_000)
    assert finding is not None
    assert not finding.damaged
    restored = StateMachine()
    restored.restore(machine.prepare(machine.capture().encode()))
    assert machine.digest() == restored.digest()


def check_entries(content: bytes) -> None:
    """Entries that hold anything: two machines take them, without an error, to one state that can be restored.

    The first byte says whether the parts are whole entries, proposals of one, or commands of one.
    """
    choices = Choices(content)
    level = choices.byte() % 3
    parts = unpack(choices.bytes(choices.left))
    entries: Sequence[bytes] = parts
    if level:
        proposals = parts if level == 1 else [encode_proposal(7, 1, p) for p in parts if p]
        entries = [b"\x01" + msgspec.msgpack.encode([msgspec.Raw(p) for p in proposals if p])]
    machine, other = _machine(), _machine()
    for entry in entries:
        applied = machine.apply(entry)
        assert other.apply(entry) == applied
        try:
            count = len(decode_bundle(entry))
        except (ValueError, RecursionError):
            count = 0
        assert len(applied.outcomes) == count
    assert machine.digest() == other.digest()
    _look_at(machine)
    while machine.tidy(100):
        pass
    _look_at(machine)
    assert machine.digest() == other.digest()


def entry_seeds() -> list[bytes]:
    seeds = [b"\x00", b"\x00" + pack([b"\x01\x90", b"\x02\x90", b"\x01\xdd\xff\xff\xff\xff"])]
    for number in range(6):
        workload = Workload(number)
        commands = [workload.command(10) for _ in range(12)]
        seeds.append(b"\x00" + pack([bundle(commands[:6]), bundle(commands[6:])]))
        encoded = [encode_command(command) for command in commands]
        seeds.append(b"\x01" + pack([encode_proposal(7, 1, command) for command in encoded]))
        seeds.append(b"\x02" + pack(encoded))
    return seeds


# The state as bytes.


def check_stream(content: bytes) -> None:
    """A stream is refused, or gives a state that is itself again after another trip.

    The first byte says whether the frames that follow are put behind a beginning and given their lengths.
    """
    choices = Choices(content)
    framed = choices.byte() & 1
    stream = choices.bytes(choices.left)
    if framed:
        frames = [len(part).to_bytes(4, "big") + part for part in unpack(stream)]
        stream = b"CSTATE\x01" + b"".join(frames)
    machine = _machine()
    slices = [stream[at : at + 50] for at in range(0, len(stream), 50)]
    try:
        machine.restore(machine.prepare(slices))
    except DamageError:
        return
    _look_at(machine)
    machine.apply(bundle([Compact(machine.revision - 1), Write(Put(b"a/b", b"1"))]))
    _look_at(machine)


@cache
def _streams() -> list[bytes]:
    streams = []
    for number in range(3):
        workload, machine = Workload(number), _machine()
        for _ in range(12):
            machine.apply(bundle(workload.commands(machine.revision)))
        streams.append(b"".join(machine.capture().encode()))
    return streams


def _frames_of(stream: bytes) -> list[bytes]:
    choices, frames = Choices(stream[7:]), []
    while choices.left > 0:
        frames.append(choices.bytes(int.from_bytes(choices.bytes(4), "big")))
    return frames


def stream_seeds() -> list[bytes]:
    plain = [b"\x00" + stream for stream in _streams()]
    return plain + [b"\x01" + pack(_frames_of(stream)) for stream in _streams()]


# What nodes say to each other.


async def _check_messages(content: bytes) -> None:
    choices = Choices(content)
    async with Bus() as bus:
        if choices.byte() & 1:
            bus.elect(2)
        for part in unpack(choices.bytes(choices.left))[:20]:
            bus.nodes[0].message_received(2, part)
            await asyncio.sleep(0)
        await bus.settle()
        # Whatever came: the members go on, with one state.
        bus.elect(1)
        deadline = asyncio.get_running_loop().time() + 10
        await bus.nodes[0].propose(Write(Put(b"/a", b"1")), deadline)
        await bus.settle()
        digests = {node.state.digest() for node in bus.nodes}
        assert len(digests) == 1


def check_messages(content: bytes) -> None:
    """Messages of another member that hold anything."""
    LOOP.run(_check_messages(content))


def message_seeds() -> list[bytes]:
    proposals = [encode_proposal(2, n, encode_command(Write(Put(b"/k", b"v")))) for n in (1, 2)]
    raws = tuple(msgspec.Raw(proposal) for proposal in proposals)
    messages: list[Message] = [
        Forward(1, 5, raws),
        Forward(2, 5, raws),
        Refused((1, 2), True),
        KeepAlive(1, (1, 2), (0, -1)),
        KeepAliveReply(1, (Renewal(0), Renewal(5, 6))),
        KeepAliveReply(1, None),
        ConnectionLost(((1, 2),)),
        ChangeMembers(1, 1000, "add", 9, "d", "d:1"),
        ChangeMembers(2, 1000, "promote", 3),
        ChangeMembers(3, 1000, "move", 3, address="c:9"),
        Transfer(4, 1000, 2),
        Transfer(5, 1000, None),
        AdministrationReply(1, Refusal(9, "X", "x", {})),
        AdministrationReply(1, elsewhere=True),
        ProgressQuestion(1),
        Progress(1, 5),
    ]
    encoded = [encode_message(message) for message in messages]
    bundled = encode_bundle(proposals)
    return [
        b"\x00" + pack(encoded),
        b"\x01" + pack(encoded),
        *(b"\x00" + pack([one, bundled]) for one in encoded),
    ]


TARGETS = [
    Target("entry", check_entries, entry_seeds),
    Target("state", check_stream, stream_seeds),
    Target("node", check_messages, message_seeds),
]
