"""Clients that hold sessions with keys of their own, keep them alive, close them, or leave them alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from coordinator.errors import RequestError
from coordinator.node.messages import Renewal
from coordinator.state.commands import Put, SessionClose, SessionOpen, Txn, Write
from coordinator.state.results import Code, Failure, SessionResult
from tests.simulation.client import Caller, Unanswered, Unreached
from tests.simulation.history import Fate, History, SessionRecord, WriteRecord
from tests.simulation.oracle import ObservedNode
from tests.simulation.profile import Profile
from tests.simulation.writers import Writer

INSTANCE = b'{"address":"10.0.0.1","port":80}'


class Holder:
    """One client, with one session after the other."""

    def __init__(self, number: int, caller: Caller, profile: Profile, history: History) -> None:
        self.number = number
        self.over = False
        """No new session is opened, and one whose client would have left it alone is left alone now."""
        self.keeping = True
        """Keep-alives go on."""
        self.record: SessionRecord | None = None
        self._caller = caller
        self._chance = caller.chance
        self._profile = profile
        self._history = history
        self._writer = Writer(number, caller, profile, history)
        self._count = 0
        self._instance = b"/services/held/instances/i%d" % number
        """The same for all its sessions: one takes it over from the one before, or from who keeps it."""
        self._attachment = 0

    async def run(self) -> None:
        while not self.over:
            self._count += 1
            await self._hold(self.number * 1_000 + self._count)
            await self._caller.pause(0.1)

    async def _hold(self, session_id: int) -> None:
        """The life of one session."""
        ttl_s = self._profile.ttl_ms / 1_000
        now = self._caller.now()
        record = SessionRecord(session_id, ttl_s, now, touched_at=now)
        record.grace_s = self._chance.choice((None, None, ttl_s / 4))
        self._history.sessions.append(record)
        if not await self._open(record):
            record.abandoned = True
            return
        self.record = record
        self._attachment = 0
        end_at = self._caller.now() + self._chance.choice((1.0, 3.0, 1e9)) * ttl_s
        await self._add_key(record)
        while self.keeping and record.gone_at is None:
            if self._caller.now() > end_at or (self.over and end_at < 1e9):
                if self._chance.random() < 0.5:
                    await self._close(record)
                record.abandoned = True
                break
            await self._keep_alive(record)
            await self._caller.pause(self._chance.choice((0.1, 0.3, 0.3, 0.3, 0.6)) * ttl_s)
        record.abandoned = record.abandoned or not self.keeping
        self.record = None

    async def _open(self, record: SessionRecord) -> bool:
        grace_ms = None if record.grace_s is None else int(record.grace_s * 1_000)
        command = SessionOpen(record.id, self._profile.ttl_ms, grace_ms)
        for _ in range(10):
            sent_at = self._caller.now()
            write = WriteRecord(b"", None, sent_at)
            outcome = await self._writer.attempt(write, command)
            record.touched_at = self._caller.now() + 2.0
            if outcome is None:
                await self._caller.pause(0.05)
                continue
            if isinstance(outcome.result, SessionResult):
                record.opened, record.confirmed_at = True, sent_at
                record.touched_at = record.answered_at = self._caller.now()
                return True
            # An attempt before this one succeeded, or its session has ended again.
            assert isinstance(outcome.result, Failure)
            return outcome.result.code is Code.SESSION_EXISTS
        return False

    async def _add_key(self, record: SessionRecord) -> None:
        key, value = b"e/%d" % record.id, b"held by %d" % record.id
        write = WriteRecord(key, value, self._caller.now())
        self._history.writes.append(write)
        put = Put(key, value, session=record.id)
        register = Put(self._instance, INSTANCE, session=record.id)
        op = Txn((), (put, register)) if self._profile.guarded else put
        await self._writer.attempt(write, Write(op))
        if write.fate is Fate.APPLIED:
            record.keys.append(key)

    async def _close(self, record: SessionRecord) -> None:
        record.closing = True
        await self._writer.attempt(
            WriteRecord(b"", None, self._caller.now()), SessionClose(record.id)
        )

    async def _keep_alive(self, record: SessionRecord) -> None:
        sent_at = self._caller.now()
        attachment = self._attachment

        async def renew(node: ObservedNode) -> Sequence[Renewal]:
            deadline = asyncio.get_running_loop().time() + 1.0
            return await node.keep_alive([record.id], deadline, [attachment])

        try:
            renewals, _ = await self._caller.call(renew, 1.2)
        except (Unreached, Unanswered, RequestError):
            # The node may go on trying until the deadline that it was given.
            record.touched_at = max(record.touched_at, self._caller.now() + 1.5)
            self._attachment = 0
            return
        record.touched_at = max(record.touched_at, self._caller.now())
        (renewal,) = renewals
        if renewal.ttl_ms == 0:
            record.gone_at = self._caller.now()
            return
        if renewal.ttl_ms != self._profile.ttl_ms:
            self._history.complaints.append(
                f"session {record.id} was renewed for {renewal.ttl_ms} ms"
            )
        record.opened, record.confirmed_at = True, sent_at
        record.answered_at = self._caller.now()
        self._attachment = renewal.attachment
        if self._chance.random() < 0.1:
            await self._break_stream(record)

    async def _break_stream(self, record: SessionRecord) -> None:
        """The node that carried the stream reports that it broke; the client comes back over another, or not."""
        attachment, self._attachment = self._attachment, 0
        host = self._caller.choose()
        record.broken_at = self._caller.now()
        if host is not None and host.life is not None and host.node is not None:
            self._caller.hosts.loop.after(
                self._chance.uniform(0.0, 0.2),
                host.life,
                host.node.connection_lost,
                {record.id: attachment},
            )
