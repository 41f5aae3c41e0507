"""What a scenario sees of a member, whichever engine it runs: `stock` is PySyncObj as it ships, `hardened` is ours.

Time is a number: heartbeats are 10 s, election timeouts 60 to 120 s, and a second passes when a scenario says so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pysyncobj.syncobj as syncobj

from coordinator.consensus.codec import Append, AppendAck, Message, PreVoteGrant, Vote
from tests.unit.consensus.stage import entries

HEARTBEAT_S = 10
ELECTION_S_MIN = 60
ELECTION_S_MAX = 120

M = TypeVar("M")


class RefusedToStart(Exception):
    """The engine found its files damaged and said so."""


class Clock:
    """Takes the place of the engines' clock; goes on a little at each reading, for the stock engine waits in loops."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        self.now += 1e-6
        return self.now


@dataclass
class Proposal:
    """What became of a proposal: None while that is open, else done, not done or unknown."""

    content: bytes
    outcome: str | None = None


@dataclass
class Setting:
    """Of the members of one cluster."""

    folder: Path
    clock: Clock
    count: int = 3
    batch_bytes: int = 64 * 1024
    """Entries travel in messages of about this size."""
    batch: bool = True
    """False: the stock engine sends each entry by itself, which it offers for the sake of latency."""
    synced: list[object] = field(default_factory=list)
    """Every sync that the stock engine asks the system for."""


class Member(ABC):
    """One member; what it sends is kept in `outbox`, what it hears is up to the scenario."""

    def __init__(self, setting: Setting, number: int = 1) -> None:
        self.setting = setting
        self.number = number
        self.others = [other for other in range(1, setting.count + 1) if other != number]
        self.outbox: list[tuple[int, Any]] = []
        """(receiver, message as this engine sends it)."""
        self.proposals: list[Proposal] = []
        self.errors: list[BaseException] = []
        """What the engine raised at whoever drives it, or stopped with."""
        self.refuses: bytes | None = None
        """Content at which the application raises; to be set before the start."""

    # What differs.

    @property
    @abstractmethod
    def core(self) -> Any:
        """The `SyncObj` within."""

    @abstractmethod
    async def start(self) -> None:
        """Starts, on what is in its files. Raises RefusedToStart."""

    @abstractmethod
    async def kill(self) -> None:
        """The program ends at once; what it wrote is in the files."""

    @abstractmethod
    async def lose_power(self) -> None:
        """The machine ends; of what was not synced nothing may be left."""

    @abstractmethod
    async def settle(self) -> None:
        """Lets the engine do all that it has to do now."""

    @abstractmethod
    def connect(self, member: int) -> None: ...

    @abstractmethod
    def disconnect(self, member: int) -> None: ...

    @abstractmethod
    def deliver(self, sender: int, native: Any) -> None:
        """Hands over a message that another member of this engine sent."""

    @abstractmethod
    def to_native(self, message: Message) -> Any:
        """A message as this engine would send it; None if it has no such message."""

    @abstractmethod
    def from_native(self, native: Any) -> Message | None:
        """The reverse, None for what no scenario asks about."""

    @abstractmethod
    def offer(self, content: bytes) -> Proposal:
        """Proposes an entry."""

    @abstractmethod
    def offer_with_failing_caller(self, content: bytes) -> None:
        """Proposes an entry; whoever is told that it was applied raises."""

    @abstractmethod
    def future_entry(self, term: int, prev: tuple[int, int]) -> Append:
        """An Append with one entry of a newer version, all committed."""

    @abstractmethod
    async def read(self) -> list[bytes] | None:
        """Asks for a read that must see all that is committed; None: refused."""

    @property
    @abstractmethod
    def applied(self) -> list[bytes]:
        """Contents that the application was given, in order."""

    @property
    @abstractmethod
    def given(self) -> list[bytes]:
        """The same, with those that the application could not take."""

    @abstractmethod
    def rows(self) -> list[Any]:
        """The entries, contents included, as this engine keeps them."""

    @abstractmethod
    def log(self) -> list[tuple[int, int]]:
        """(index, term) of the entries."""

    @abstractmethod
    def hold_syncs(self) -> None:
        """From now on the disk takes its time for a sync."""

    @abstractmethod
    async def release_syncs(self) -> None:
        """Lets the disk finish."""

    @abstractmethod
    def snapshot_of(self, index: int, term: int, contents: list[bytes]) -> bytes:
        """A snapshot as another member would send it."""

    @abstractmethod
    async def compact(self) -> None:
        """Takes a snapshot and cuts the log."""

    @property
    @abstractmethod
    def members_in_snapshot(self) -> set[int]: ...

    @abstractmethod
    async def write_snapshot_only(self) -> None:
        """Takes a snapshot, and does not yet come to cut the log."""

    @abstractmethod
    async def crash_while_compacting(self, step: int) -> bool:
        """Loses power at some step of taking a snapshot and cutting the log; False: it takes fewer steps."""

    @abstractmethod
    async def crash_while_writing(self, step: int) -> None:
        """Loses power while an entry of the present leader is written; what was not synced is torn."""

    @abstractmethod
    async def sync(self) -> None:
        """Lets what was heard reach the files, without anything else."""

    @abstractmethod
    async def rest(self) -> None:
        """Lets what was heard of a snapshot be taken in."""

    @abstractmethod
    def watch_encoding(self) -> list[int]:
        """Returns a list that fills with the threads on which the state of the application is encoded from now on."""

    @abstractmethod
    def flip_bit_in_log(self) -> None:
        """Changes the file of a log that holds many entries `entry`, in an old one of them."""

    @abstractmethod
    def pretend_to_have_written(self, size_bytes: int) -> None:
        """From now on the file that takes entries seems that large."""

    @property
    @abstractmethod
    def log_size_bytes(self) -> int:
        """Size of the log's files."""

    @abstractmethod
    def damage_snapshot(self) -> None:
        """Cuts the file of the snapshot in half."""

    @abstractmethod
    def lose_log(self, share: float) -> None:
        """The last part of the log is gone from the disk, although it was synced."""

    @abstractmethod
    async def add_member(self, number: int) -> None:
        """Asks for one more member; nobody answers yet."""

    @abstractmethod
    async def remove_member(self, number: int) -> None: ...

    # What is the same, for both engines have a `SyncObj` within.

    def state(self, name: str) -> Any:
        return getattr(self.core, f"_SyncObj__{name}")

    @property
    def leads(self) -> bool:
        return bool(self.state("raftState") == syncobj._RAFT_STATE.LEADER)

    @property
    def term(self) -> int:
        return int(self.state("raftCurrentTerm"))

    @property
    def leader(self) -> int | None:
        node = self.state("raftLeader")
        return None if node is None else int(node.id)

    @property
    def commit_index(self) -> int:
        return int(self.state("raftCommitIndex"))

    @property
    def applied_index(self) -> int:
        return int(self.state("raftLastApplied"))

    @property
    def last_index(self) -> int:
        return self.log()[-1][0]

    @property
    def voters(self) -> set[int]:
        return {self.number} | {int(node.id) for node in self.state("otherNodes")}

    def expire(self) -> None:
        """The election timeout is over."""
        self.core._SyncObj__raftElectionDeadline = 0

    # What the others do.

    async def hear(self, sender: int, *messages: Message) -> None:
        for message in messages:
            native = self.to_native(message)
            if native is not None:
                self.deliver(sender, native)
        await self.settle()

    async def hear_entries(
        self, sender: int, term: int, prev: tuple[int, int], commit: int, *new: tuple[int, bytes]
    ) -> None:
        """An Append; `prev` is (index, term), `new` are (term, content)."""
        await self.hear(sender, Append(term, prev[0], prev[1], commit, entries(*new)))

    async def hear_ack(self, index: int, *senders: int, term: int | None = None) -> None:
        """Followers say that they have everything up to an index; the stock engine's words for it name no term."""
        for sender in senders:
            await self.hear(sender, AppendAck(term or self.term, False, 0, index))

    def said(self, kind: type[M]) -> list[M]:
        """Takes what was sent so far, and returns the messages of a kind among it."""
        sent = [self.from_native(native) for _, native in self.outbox]
        self.outbox.clear()
        return [message for message in sent if isinstance(message, kind)]

    async def campaign(self) -> int:
        """Makes this member a candidate; the others said that they might vote for it. Returns the term."""
        self.expire()
        await self.settle()
        await self.hear_all(PreVoteGrant(self.term + 1))
        assert not self.leads
        self.outbox.clear()
        return self.term

    async def hear_all(self, message: Message) -> None:
        for member in self.others:
            await self.hear(member, message)

    async def lead(self) -> int:
        """Makes this member the leader by the votes of all. Returns the term."""
        term = await self.campaign()
        await self.hear_all(Vote(term))
        assert self.leads and self.term == term
        self.outbox.clear()
        return term

    async def establish(self) -> int:
        """Leads, and all others have the no-op of its term."""
        term = await self.lead()
        await self.hear_ack(self.last_index, *self.others)
        await self.settle()
        assert self.commit_index == self.last_index
        return term

    async def propose(self, *contents: bytes) -> list[Proposal]:
        made = [self.offer(content) for content in contents]
        self.proposals += made
        await self.settle()
        return made

    async def pass_time(self, seconds: float, step_s: float = 1.0) -> None:
        end = self.setting.clock.now + seconds
        while self.setting.clock.now < end:
            self.setting.clock.now += step_s
            await self.settle()
