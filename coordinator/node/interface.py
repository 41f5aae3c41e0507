"""What a running member offers to the faces of the server: propose, read, watch, keep alive, status."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from coordinator.config import Limits, Timing
from coordinator.consensus.interface import ConsensusStatus, MemberChange, Peer
from coordinator.node.messages import Renewal
from coordinator.node.saves import Save
from coordinator.node.watches import WatchStream
from coordinator.state.commands import Command
from coordinator.state.machine import StateMachine
from coordinator.state.results import Outcome


@dataclass(frozen=True)
class MemberStatus:
    """A member as this node knows it."""

    peer: Peer
    client_address: str
    """host:port for clients; empty while not known."""
    leader: bool
    connected: bool


class AlarmKind(enum.Enum):
    """What an operator should look after."""

    DIVERGED = "diverged"
    """The state of a member differs from that of a majority."""
    DISAGREEMENT = "disagreement"
    """States of members differ, and no majority agrees."""
    SPACE_QUOTA = "space-quota"
    """The state is as large as it may be: writes that add to it are refused."""
    DISK = "disk"
    """A member's disk is nearly full: such writes are refused."""


@dataclass(frozen=True)
class Alarm:
    """Something that is wrong now, as this node knows it."""

    kind: AlarmKind
    member: int
    """The member that it is about; 0: the cluster as a whole."""
    message: str


class Node(Protocol):
    """One member of the cluster. All deadlines are event loop times in seconds."""

    @property
    def limits(self) -> Limits: ...

    @property
    def timing(self) -> Timing: ...

    @property
    def member(self) -> Peer:
        """This member."""
        ...

    @property
    def cluster_key(self) -> int:
        """The number by which members of this cluster know each other."""
        ...

    @property
    def state(self) -> StateMachine:
        """The applied state. For reading only, and never across an await."""
        ...

    @property
    def consensus_status(self) -> ConsensusStatus: ...

    @property
    def term(self) -> int:
        """That of `consensus_status`, for those who need no more."""
        ...

    @property
    def leader_client_address(self) -> str:
        """Where clients reach the leader, host:port; empty while that is not known."""
        ...

    @property
    def leader_changes(self) -> int:
        """How often this member learned who leads, since it started."""
        ...

    @property
    def uptime_s(self) -> float: ...

    @property
    def watch_count(self) -> int: ...

    @property
    def watches_full(self) -> bool:
        """Whether this member holds as many watches as it may."""
        ...

    @property
    def disk_free_bytes(self) -> int | None:
        """What the file system of the data folder has left; None: not known."""
        ...

    def alarms(self) -> Sequence[Alarm]:
        """What is wrong now."""
        ...

    def members(self) -> Sequence[MemberStatus]:
        """All members in ascending order of the name."""
        ...

    async def propose(self, command: Command, deadline: float) -> Outcome:
        """Offers a command to the log and waits until it is applied here.

        A command that is lost on the way without having been applied is offered again until the deadline.
        Raises RequestError (not applied) or OutcomeUnknown.
        """
        ...

    def offer(self, command: Command, deadline: float) -> asyncio.Future[Outcome]:
        """Offers a command as `propose` does; the future ends as that would. Raises RequestError if it is not taken.

        Who waits no longer should cancel the future: what was not sent then is not.
        """
        ...

    async def read(self, *, local: bool, min_revision: int, deadline: float) -> None:
        """Returns when `state` may be read: linearizably, or with `local` as it happens to be.

        Raises RequestError when no quorum or the revision could not be had before the deadline.
        """
        ...

    async def keep_alive(
        self, ids: Sequence[int], deadline: float, attachments: Sequence[int] | None = None
    ) -> Sequence[Renewal]:
        """Renews sessions; returns a renewal for each.

        `attachments`: for each session the number that the renewal before, over the same stream of a client, came
        with, or 0. None: they did not come over a stream whose end would be reported. `messages.ONLY_LOOK` renews
        nothing: the renewal says how long the session has left.
        Raises RequestError when no leader could confirm it before the deadline.
        """
        ...

    def connection_lost(self, attachments: Mapping[int, int]) -> None:
        """A client's stream broke; `attachments` holds the newest number of each session on it.

        Sessions with a disconnect grace that have not come back over another stream end after that.
        """
        ...

    def save(self) -> AbstractAsyncContextManager[Save]:
        """Gives a snapshot of what is applied now, or later. Raises RequestError."""
        ...

    def open_watch_stream(self) -> WatchStream:
        """Returns a stream on which watches can be created; the caller closes it."""
        ...

    async def change_members(self, change: MemberChange, *, force: bool, deadline: float) -> None:
        """Makes one change of the members, wherever the leader is; returns once it is committed.

        A leader that is to be removed hands over before. A change that is not safe now is refused; `force` passes over
        the members that would be left not having a quorum at hand.
        Raises RequestError (nothing was changed) or OutcomeUnknown.
        """
        ...

    async def transfer_leadership(self, target: int | None, deadline: float) -> int:
        """Hands leadership over to a voter, or to the one that is furthest (None); returns the id of the new leader.

        Writes wait meanwhile. Raises RequestError.
        """
        ...

    async def progress(self, timeout_s: float) -> Mapping[int, int]:
        """Returns the applied index of every member that tells in time, by id."""
        ...
