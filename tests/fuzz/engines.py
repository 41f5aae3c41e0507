"""Target: a real engine, told anything by anybody in any order."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from coordinator.consensus import codec
from coordinator.consensus.codec import Message
from coordinator.consensus.configuration import configuration_of, encode_configuration
from coordinator.consensus.engine.log import MEMBERS, NO_OP, REGULAR
from coordinator.consensus.interface import Role
from coordinator.consensus.journal import Entry
from coordinator.consensus.snapshots import Description, SnapshotStore
from tests.fuzz.target import LOOP, Choices, Target
from tests.unit.consensus.faults import FaultDisk
from tests.unit.consensus.stage import Stage, make_peers
from tests.unit.consensus.toy import ToyApplication

STEPS_MAX = 30
HUGE = 1 << 62
STOPS = re.compile(
    r"both lead term|committed entry \d+ is of term|would overwrite entry|of a kind that this version"
    r"|about the members can't be read|leader's snapshot has \d+ bytes|this member was removed"
)
"""The reasons for which an engine may stop: two histories were promised, or another version talks."""

_MEMBERS = [
    MEMBERS + encode_configuration(configuration_of(make_peers(3))),
    MEMBERS + encode_configuration(configuration_of(make_peers(4))),
    MEMBERS + encode_configuration(configuration_of(make_peers(3)[:2], (3,))),
    MEMBERS + encode_configuration(configuration_of(make_peers(3)[1:], (1,))),
    MEMBERS + b"\xc1",
]
_CONTENTS = [REGULAR + b"a", REGULAR + b"b", REGULAR + b"c", NO_OP, REGULAR]


@cache
def _snapshots() -> list[tuple[int, int, bytes]]:
    """(index, term, file) of what a leader may send."""
    found = []
    for index, term in ((5, 2), (9, 3)):
        application = ToyApplication()
        application.applied = [(at, 1, b"%d" % at) for at in range(2, index + 1)]
        store = SnapshotStore(FaultDisk())
        description = Description(index, term, configuration_of(make_peers(3)))
        snapshot = store.write(description, application.slices())
        found.append((index, term, store.read(snapshot, 0, snapshot.size)))
    return found


class Interlocutor:
    """Plays the other members as bytes tell it, and knows what the engine may commit."""

    def __init__(self, stage: Stage, choices: Choices) -> None:
        self.stage = stage
        self.choices = choices
        self.committed: dict[int, Entry] = {}
        self.allowed = 1
        """The highest commit index that anything said so far admits."""
        self.term = 0
        self.commit_index = 0
        self.matches: dict[int, int] = {}
        self.matches_term = 0

    # Drawing.

    def draw_term(self) -> int:
        present = self.stage.engine.status.term
        byte = self.choices.byte()
        if byte > 252:
            return HUGE
        return (present, present, present, present + 1, max(present - 1, 0), byte)[byte % 6]

    def draw_index(self) -> int:
        status = self.stage.engine.status
        byte = self.choices.byte()
        if byte > 252:
            return HUGE
        places = (status.last_index, status.commit_index, status.last_index + 1, byte % 12, 1)
        return places[byte % len(places)]

    def draw_entries(self, term: int) -> tuple[tuple[int, bytes], ...]:
        entries = []
        for _ in range(self.choices.byte() % 5):
            byte = self.choices.byte()
            content = _CONTENTS[byte % len(_CONTENTS)]
            if byte > 230:
                content = self.choices.pick([*_MEMBERS, b"", b"\x09unknown"])
            entries.append((term if byte % 7 else max(term - 1, 0), content))
        return tuple(entries)

    def draw_chunk(self) -> Message:
        index, snapshot_term, content = self.choices.pick(_snapshots())
        size = len(content)
        offset = self.choices.pick([0, 0, 100, 200, 300, size])
        piece = content[offset : offset + self.choices.pick([100, size, 0])]
        if self.choices.byte() > 200:
            index, piece = self.draw_index(), piece[::-1]
        if self.choices.byte() > 250:
            size = HUGE
        return codec.SnapshotChunk(self.draw_term(), index, snapshot_term, size, offset, piece)

    def draw_message(self) -> Message:
        byte = self.choices.byte()
        flag = bool(byte & 1)
        term, index = self.draw_term(), self.draw_index()
        if byte == 255:
            return codec.Farewell()  # the end of all, so not too often
        kind = self.choices.byte() % 18
        if kind < 5:
            previous, commit_index = index, self.draw_index()
            entry = self.stage.engine.parts.journal.entry(previous)
            # A mistaken term stops the engine, most often: one in sixteen is enough.
            fits = entry is not None and byte % 16
            previous_term = entry.term if entry is not None and fits else self.draw_term()
            entries = self.draw_entries(term)
            return codec.Append(term, previous, previous_term, commit_index, entries)
        rest: list[Message] = [
            codec.AppendAck(term, False, self.draw_index(), index),
            codec.AppendAck(term, True, self.draw_index(), index),
            codec.RequestVote(term, index, self.draw_term(), flag),
            codec.Vote(term),
            codec.PreVote(term, index, self.draw_term()),
            codec.PreVoteGrant(term),
            codec.TimeoutNow(term),
            codec.TermNotice(term),
            codec.Probe(term, index),
            codec.ProbeAck(term, index),
            codec.ReadRequest(index),
            codec.ReadReply(index, self.draw_index()),
            codec.SnapshotAck(term, index, self.draw_index(), flag),
        ]
        return self.draw_chunk() if flag and kind == 5 else rest[kind - 5]

    # Playing.

    async def play(self) -> None:
        for _ in range(STEPS_MAX):
            if self.choices.left <= 0 or self.stage.engine.stopped:
                break
            await self.step()
        await self.stage.settle()
        self.look()

    async def step(self) -> None:
        byte, engine = self.choices.byte(), self.stage.engine
        member = self.choices.pick([2, 3, 2, 3, 4])
        if byte < 8:
            engine.parts.core.hasten_election(0)
        elif byte < 16:
            engine.propose(b"mine")
        elif byte < 20:
            self.stage.disconnect(member)
            self.stage.connect(member)
        elif byte < 32:
            await self.elect()
        else:
            message = self.draw_message()
            self.note(member, message)
            self.stage.receive(member, message)
        if byte % 4 == 0:
            await self.stage.settle()
        self.look()

    async def elect(self) -> None:
        """The others do what makes this member a leader."""
        engine = self.stage.engine
        engine.parts.core.hasten_election(0)
        await self.stage.settle()
        for member in (2, 3):
            self.stage.receive(member, codec.PreVoteGrant(engine.status.term + 1))
        await self.stage.settle()
        for member in (2, 3):
            self.stage.receive(member, codec.Vote(engine.status.term))
        await self.stage.settle()

    # Looking.

    def note(self, member: int, message: Message) -> None:
        """What this message admits, if the engine believes it."""
        status, journal = self.stage.engine.status, self.stage.engine.parts.journal
        match message:
            case codec.Append():
                end = message.prev_index + len(message.entries)
                self.allowed = max(self.allowed, min(message.commit_index, end))
            case codec.SnapshotChunk():
                self.allowed = max(self.allowed, *(index for index, _, _ in _snapshots()))
            case codec.AppendAck():
                if self.matches_term != status.term:
                    self.matches, self.matches_term = {}, status.term
                leads = status.role is Role.LEADER and message.term == status.term
                if leads and not message.rejected and message.index <= journal.last_index:
                    known = self.matches.get(member, 0)
                    self.matches[member] = max(known, message.index)
                    # This leader and any one other may be a quorum, whatever the members are just now.
                    self.allowed = max(self.allowed, message.index)

    def look(self) -> None:
        """What must hold at any moment."""
        engine = self.stage.engine
        for failure in self.stage.failures:
            assert STOPS.search(str(failure)), f"it stopped: {failure!r} {failure.__cause__!r}"
        if engine.stopped:
            return
        status, journal = engine.status, engine.parts.journal
        assert status.term >= self.term
        assert status.commit_index >= self.commit_index
        assert status.applied_index <= status.commit_index <= status.last_index
        assert status.commit_index <= self.allowed, "more is committed than anybody said"
        self.term, self.commit_index = status.term, status.commit_index
        for entry in journal.entries:
            if entry.index > status.commit_index:
                break
            # The entry of a snapshot stands for all before it, whatever its content was.
            known = self.committed.setdefault(entry.index, entry)
            assert known == entry or entry.index == journal.first_index, "a committed entry changed"


async def _check(content: bytes) -> None:
    choices = Choices(content)
    stage = Stage(Path("unused"))
    async with stage:
        await Interlocutor(stage, choices).play()


def check_engine(content: bytes) -> None:
    """Any sequence of messages: nothing is committed that nobody said, and no promise is broken silently."""
    LOOP.run(_check(content))


def seeds() -> list[bytes]:
    """Scripts of some length; what they say is as good as any."""
    steps = [bytes([kind, 0]) for kind in (28, 12, 4)]
    follow = bytes([200, 0, 1, 18, 4, 0, 1, 2, 1, 2, 40, 41])
    acked = bytes([28, 0, 12, 0, 100, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0])
    chunk = bytes([100, 0, 1, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0])
    return [
        b"".join(steps) * 3,
        follow * 4,
        acked * 2,
        chunk * 3,
        bytes(range(256)),
        bytes(255 - number for number in range(256)),
        acked + follow * 2 + chunk,
    ]


TARGETS = [Target("engine", check_engine, seeds)]
