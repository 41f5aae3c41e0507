"""Clients that write and read: plain puts, counters, numbered writes, sequence keys, deletes; reads of both kinds."""

from __future__ import annotations

import asyncio

from coordinator.errors import OutcomeUnknown, RequestError, Status
from coordinator.state.commands import (
    Command,
    Compare,
    DeleteRange,
    Operator,
    Put,
    Range,
    RequestId,
    Selector,
    SessionOpen,
    Target,
    Txn,
    Write,
)
from coordinator.state.model import KeyValue
from coordinator.state.results import (
    Code,
    DeleteResult,
    Failure,
    Outcome,
    PutResult,
    RangeResult,
    SessionResult,
    TxnResult,
)
from tests.simulation.client import Caller, Unanswered, Unreached
from tests.simulation.history import Fate, History, ReadRecord, WriteRecord
from tests.simulation.oracle import ObservedNode
from tests.simulation.profile import Profile

REQUEST_S = 1.5
"""Patience of a client, and the deadline that it sets."""
ATTEMPTS_MAX = 12
"""Of one numbered write."""


def below(prefix: bytes) -> Selector:
    """All keys that begin with a prefix."""
    return Selector(prefix, prefix[:-1] + bytes((prefix[-1] + 1,)))


async def propose(node: ObservedNode, command: Command) -> Outcome:
    """Proposes with the usual deadline, on the clock of the node."""
    return await node.propose(command, asyncio.get_running_loop().time() + REQUEST_S)


class Writer:
    """One client."""

    def __init__(self, number: int, caller: Caller, profile: Profile, history: History) -> None:
        self.number = number
        self.over = False
        self._caller = caller
        self._chance = caller.chance
        self._profile = profile
        self._history = history
        self._count = 0
        self._session = 0
        self._sequence = 0
        self._answered: set[int] = set()
        self._seen = 0
        """The newest revision that this client knows of."""

    async def run(self) -> None:
        kinds = (
            *(self._put, self._put, self._count_up, self._count_up, self._put_numbered),
            *(self._put_numbered, self._append, self._delete, self._read, self._read_local),
        )
        while not self.over:
            await self._caller.pause(self._profile.think_s)
            await self._chance.choice(kinds)()

    def _value(self) -> bytes:
        """A value of this client's that no other write has."""
        self._count += 1
        padding = self._chance.choice((0, 0, 10, 300))
        return b"%d.%d." % (self.number, self._count) + b"x" * padding

    def _record(self, key: bytes, value: bytes | None, *, sequence: bool = False) -> WriteRecord:
        record = WriteRecord(key, value, self._caller.now(), sequence=sequence)
        self._history.writes.append(record)
        return record

    # Writes.

    async def _put(self) -> None:
        key, value = b"r/%d" % self._chance.randrange(5), self._value()
        await self.attempt(self._record(key, value), Write(Put(key, value)))

    async def _append(self) -> None:
        value = self._value()
        record = self._record(b"q/", value, sequence=True)
        outcome = await self.attempt(record, Write(Put(b"q/", value, sequence=True)))
        if outcome is not None and isinstance(outcome.result, PutResult):
            record.key = outcome.result.key

    async def _delete(self) -> None:
        key = b"r/%d" % self._chance.randrange(5)
        await self.attempt(self._record(key, None), Write(DeleteRange(Selector(key), prev_kv=True)))

    async def _count_up(self) -> None:
        """Adds one to a counter if it is still what it was when this client read it."""
        key = b"c/%d" % self._chance.randrange(2)
        found = await self.read(key, local=self._chance.random() < 0.5, min_revision=0)
        if found is None:
            return
        known = found[0] if found else None
        number = 1 if known is None else int(known.value.split()[0]) + 1
        value = b"%d %s" % (number, self._value())
        unchanged = Compare(
            Selector(key),
            Operator.EQUAL,
            Target.MOD_REVISION,
            0 if known is None else known.mod_revision,
        )
        command = Write(Txn((unchanged,), (Put(key, value),), (Range(Selector(key)),)))
        record = self._record(key, value)
        record.conditional, record.expected = True, None if known is None else known.value
        await self.attempt(record, command)

    async def _put_numbered(self) -> None:
        """A write that is tried again, at other nodes, until its outcome is known."""
        if not await self._have_session():
            return
        self._sequence += 1
        sequence = self._sequence
        floor = min((n for n in range(1, sequence) if n not in self._answered), default=sequence)
        request = RequestId(self._session, sequence, floor if self._chance.random() < 0.5 else 0)
        key, value = b"n/%d" % self._chance.randrange(3), self._value()
        record = self._record(key, value)
        command = Write(Put(key, value), request)
        for _ in range(ATTEMPTS_MAX):
            await self.attempt(record, command)
            if record.fate is not Fate.UNKNOWN and record.fate is not Fate.REFUSED:
                self._answered.add(sequence)
                # The answer got lost, says the client, and asks once more.
                if self._chance.random() < 0.2:
                    await self._ask_again(record, command)
                return
            if self.over:
                return
            await self._caller.pause(0.05)

    async def _ask_again(self, record: WriteRecord, command: Write) -> None:
        again = WriteRecord(record.key, record.value, self._caller.now())
        outcome = await self.attempt(again, command)
        if outcome is not None and (again.fate, again.revision) != (record.fate, record.revision):
            self._history.complaints.append(
                f"numbered write {record.value!r} came to {record.fate} at {record.revision}, and asked again"
                f" to {again.fate} at {again.revision}: {outcome.result!r}"
            )

    async def _have_session(self) -> bool:
        """Opens a session that outlasts the simulation."""
        if self._session:
            return True
        wanted = 1_000_000 + self.number
        record = WriteRecord(b"", None, self._caller.now())
        outcome = await self.attempt(record, SessionOpen(wanted, 600_000))
        if outcome is not None and (
            isinstance(outcome.result, SessionResult)
            or (isinstance(outcome.result, Failure) and outcome.result.code is Code.SESSION_EXISTS)
        ):
            self._session = wanted
        return bool(self._session)

    async def attempt(self, record: WriteRecord, command: Command) -> Outcome | None:
        """Proposes once, and takes down what this client learns of it."""
        record.attempts += 1
        first = record.attempts == 1
        try:
            outcome, _ = await self._caller.call(
                lambda node: propose(node, command), 1.2 * REQUEST_S
            )
        except (Unanswered, OutcomeUnknown):
            record.fate = Fate.UNKNOWN
            return None
        except (Unreached, RequestError):
            if first or record.fate is Fate.REFUSED:
                record.fate = Fate.REFUSED
            return None
        result = outcome.result
        if isinstance(result, Failure):
            if not first:
                # Whether an attempt before this one was applied is not known by that.
                return outcome
            record.fate = Fate.REFUSED
        elif isinstance(result, TxnResult) and not result.succeeded:
            record.fate = Fate.UNMET
            (found,) = result.responses
            assert isinstance(found, RangeResult)
            record.before = found.kvs[0].value if found.kvs else None
        else:
            record.fate = Fate.APPLIED
            if isinstance(result, DeleteResult):
                record.before = result.prevs[0].value if result.prevs else None
        record.ended_at, record.revision = self._caller.now(), outcome.revision
        self._seen = max(self._seen, outcome.revision)
        return outcome

    # Reads.

    async def _read(self) -> None:
        await self.read(
            self._chance.choice((b"r/", b"c/", b"n/", b"q/")), local=False, min_revision=0
        )

    async def _read_local(self) -> None:
        minimum = self._seen if self._chance.random() < 0.3 else 0
        await self.read(
            self._chance.choice((b"r/", b"c/", b"n/")), local=True, min_revision=minimum
        )

    async def read(
        self, key: bytes, *, local: bool, min_revision: int
    ) -> tuple[KeyValue, ...] | None:
        """Reads a key or, if it ends with a slash, all below it; None if that failed."""
        selector = below(key) if key.endswith(b"/") else Selector(key)

        async def read(node: ObservedNode) -> tuple[int, RangeResult | Failure]:
            deadline = asyncio.get_running_loop().time() + REQUEST_S
            await node.read(local=local, min_revision=min_revision, deadline=deadline)
            return node.state.revision, node.state.range(Range(selector))

        begun_at = self._caller.now()
        try:
            (revision, result), run = await self._caller.call(read, 1.2 * REQUEST_S)
        except (Unanswered, Unreached):
            return None
        except RequestError as error:
            if error.status not in (Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED):
                self._history.complaints.append(f"a read ended with {error!r}")
            return None
        if isinstance(result, Failure):
            self._history.complaints.append(f"a read of the present came to {result!r}")
            return None
        self._history.reads.append(
            ReadRecord(
                self.number,
                run,
                local,
                min_revision,
                begun_at,
                self._caller.now(),
                revision,
                key,
                result.kvs,
            )
        )
        self._seen = max(self._seen, revision)
        return result.kvs
