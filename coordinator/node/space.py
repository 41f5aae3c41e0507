"""Refuses what adds to the state while there is no room: the state is too large, or a member's disk nearly full.

The member that takes a write refuses it, or else the leader, before it is in the log. What frees room always passes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from coordinator.config import Limits
from coordinator.consensus.interface import Consensus
from coordinator.errors import RequestError, Status
from coordinator.node.interface import Alarm, AlarmKind
from coordinator.node.messages import DiskReport, encode_message
from coordinator.state.commands import (
    Command,
    Put,
    SessionOpen,
    Txn,
    Write,
    decode_command,
)
from coordinator.state.machine import StateMachine

SMALL_METADATA_BYTES_MAX = 64
"""Sessions with no more are let in always: clients that number their deletes need one. Their number is limited."""
PERIOD_S = 1.0
"""How often the disk is looked at."""
BELIEVED_S = 3.5
"""How long another member's word that it is short counts; it repeats it."""
EASED_SHARE = 0.95
"""Of the quota: a state that was too large may grow again below this."""

log = structlog.get_logger()


def grows(command: Command) -> bool:
    """Whether a command may add to the state; a small session does not count, as it numbers deletes."""
    if isinstance(command, SessionOpen):
        size = sum(len(name.encode()) + len(value.encode()) for name, value in command.metadata)
        return size > SMALL_METADATA_BYTES_MAX
    return isinstance(command, Write) and _has_put(command.op)


def grows_encoded(command: msgspec.Raw) -> bool:
    """Whether an encoded command may; one that can't be decoded changes nothing."""
    try:
        return grows(decode_command(command))
    except (ValueError, RecursionError):
        return False


def _has_put(op: object) -> bool:
    if isinstance(op, Txn):
        return any(map(_has_put, (*op.success, *op.failure)))
    return isinstance(op, Put)


def refusal(why: str) -> RequestError:
    """Returns the exception for a write that was refused because of that."""
    return RequestError(Status.RESOURCE_EXHAUSTED, "SPACE_QUOTA", why, {"applied": "no"})


class Space:
    """What room there is, here and on the other members."""

    def __init__(
        self,
        consensus: Consensus,
        state: StateMachine,
        member_id: int,
        limits: Limits,
        disk_free: Callable[[], int] | None,
    ) -> None:
        """`disk_free` returns the bytes that are left where this member writes; called on another thread."""
        self._consensus = consensus
        self._state = state
        self._member_id = member_id
        self._quota = limits.state_size_bytes_max
        self._free_min = limits.disk_free_bytes_min
        self._disk_free = disk_free if self._free_min else None
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._unknown = False
        self._short = False
        # What the others believe may be what they heard before this member was started again.
        self._tell_until_s = self._loop.time() + BELIEVED_S
        # member -> what it has free, and until when its word counts.
        self._others_short: dict[int, tuple[int, float]] = {}
        self.disk_free_bytes: int | None = None
        """When last looked at; None: not known."""

    async def start(self) -> None:
        """Looks at the disk, now and from time to time."""
        if self._disk_free is not None:
            await self.look()
            self._task = self._loop.create_task(self._go_on())

    async def stop(self) -> None:
        """Looks no more. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            await self.look()

    async def look(self) -> None:
        """Looks at the disk, and tells the others if it is short of room, or no more, or how it is after a start."""
        assert self._disk_free is not None
        try:
            free = await asyncio.to_thread(self._disk_free)
        except OSError as error:
            if not self._unknown:
                log.warning("can't tell what is free on the disk", error=str(error))
            self._unknown = True
            return
        self._unknown = False
        self.disk_free_bytes = free
        before = self._short
        # Once short, it takes somewhat more than the minimum to be well again.
        self._short = free < self._free_min + (self._free_min // 8 if before else 0)
        if self._short != before:
            tell = log.error if self._short else log.info
            tell("disk", short=self._short, free_bytes=free)
        if self._short or before or self._loop.time() < self._tell_until_s:
            report = encode_message(DiskReport(self._short, free))
            for peer in self._consensus.members:
                if peer.id != self._member_id:
                    self._consensus.send(peer.id, report)

    def received(self, member: int, message: DiskReport) -> None:
        """Another member tells how its disk is."""
        if not message.short:
            self._others_short.pop(member, None)
        elif any(peer.id == member for peer in self._consensus.members):
            self._others_short[member] = message.free_bytes, self._loop.time() + BELIEVED_S

    @property
    def over_quota(self) -> bool:
        """Whether the state is too large to grow."""
        size = self._state.size_bytes
        over = size > (EASED_SHARE * self._quota if self._over else self._quota)
        if over != self._over:
            self._over = over
            tell = log.error if over else log.info
            tell("space quota", exceeded=over, size_bytes=size, quota_bytes=self._quota)
        return over

    def refuses(self) -> str:
        """Returns why nothing may be added to the state now; empty: it may."""
        if not (self._short or self._others_short or self.over_quota):
            return ""
        return "; ".join(alarm.message for alarm in self.alarms())

    def admit(self, command: Command) -> None:
        """Raises RequestError for a command that adds to the state while there is no room."""
        if (why := self.refuses()) and grows(command):
            raise refusal(why)

    def alarms(self) -> list[Alarm]:
        """What is short."""
        found = []
        if self.over_quota:
            message = (
                f"the state takes {self._state.size_bytes} bytes, and the quota is {self._quota}: "
                "delete keys, or raise limits.state_size_bytes_max"
            )
            found.append(Alarm(AlarmKind.SPACE_QUOTA, 0, message))
        short = {m: f for m, (f, until) in self._others_short.items() if until > self._loop.time()}
        if self._short and self.disk_free_bytes is not None:
            short[self._member_id] = self.disk_free_bytes
        for peer in self._consensus.members:
            if peer.id in short:
                message = (
                    f"the disk of {peer.name} has {short[peer.id]} bytes left: free some there"
                )
                found.append(Alarm(AlarmKind.DISK, peer.id, message))
        return found
