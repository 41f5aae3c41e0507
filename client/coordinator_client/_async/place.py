"""A place in a queue of contenders, under a session of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coordinator_client import _io_async as io
from coordinator_client import errors, validation
from coordinator_client._async.keys import KeySpace
from coordinator_client._async.session import Session
from coordinator_client._async.watch import Watch
from coordinator_client.compares import Compare, Key
from coordinator_client.failures import Backoff
from coordinator_client.model import KeyValue, RangeResult
from coordinator_client.operations import Get, Put, Range
from coordinator_client.turns import Rule, Wait, make_key

PAGE_SIZE = 1000


class Patience:
    """How long a contender may take; None: for ever, 0: only to look whether it is free."""

    def __init__(self, timeout_s: float | None, call_timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._call_timeout_s = call_timeout_s
        self._deadline_s = None if timeout_s is None else io.now_s() + validation.wait(timeout_s)

    def call_s(self) -> float:
        """Returns how long the next call may take, in seconds; raises DeadlineExceeded if no time is left."""
        if self._deadline_s is None or self._timeout_s == 0:
            return self._call_timeout_s
        left_s = self._deadline_s - io.now_s()
        if left_s <= 0:
            raise self.exhausted()
        return min(left_s, self._call_timeout_s)

    def wait_s(self) -> float | None:
        """Returns how long to wait for others, in seconds; raises DeadlineExceeded if no time is left."""
        if self._deadline_s is None:
            return None
        left_s = self._deadline_s - io.now_s()
        if left_s <= 0:
            raise self.exhausted()
        return left_s

    def exhausted(self) -> errors.DeadlineExceeded:
        """Returns what to raise when time is over."""
        return errors.DeadlineExceeded(f"it was not this one's turn within {self._timeout_s} s")


@dataclass(frozen=True)
class Queue:
    """Where contenders stand, and what a new one needs to join them."""

    keys: KeySpace
    prefix: bytes
    rule: Rule
    make_session: Callable[[Callable[[Session], None]], Session]
    call_timeout_s: float
    """How long a call may take, in seconds."""
    owner: str = ""
    """What the keys of this program say to people."""


class Place:
    """One contender in its queue: takes the place, waits for its turn, gives the place back.

    The session is opened for this place alone: when it is closed, the key goes, and a write that is still under way
    can't bring it back.
    """

    def __init__(self, queue: Queue, on_lost: Callable[[Place], None]) -> None:
        self._queue = queue
        self._keys = queue.keys
        self._on_lost = on_lost
        self._alone = False
        self._watch: Watch | None = None
        self.session = queue.make_session(self._note_loss)
        self.key = make_key(queue.prefix, queue.rule)
        self.fence = 0
        """The revision at which the key was created; 0 before."""

    def guard(self) -> Compare:
        """Returns the condition that the place is still kept."""
        return Key(self.key).create_revision == self.fence

    def check_alive(self) -> None:
        """Raises SessionLost if the place is lost, and Closed if it was given back."""
        self.session.check_alive()

    async def take(self, value: str | bytes, patience: Patience) -> None:
        """Opens the session and writes the key: from then on the place in the order is fixed."""
        await self.session.open(timeout_s=patience.call_s())
        count = Range(self._queue.prefix, prefix=True, count_only=True)
        taking = self._keys.txn().when(Key(self.key).missing())
        taking.then(Put(self.key, value, self.session), count).otherwise(Get(self.key), count)
        pauses = Backoff(1)
        while True:
            self.check_alive()
            try:
                done = await taking.commit(timeout_s=patience.call_s())
                break
            except errors.SessionNotFound:
                self.session.declare_lost("the cluster does not know it any more")
            except errors.OutcomeUnknown:
                # Nobody else uses the key, so that writing it only where it is missing never gives a second place.
                await self._pause(pauses, patience)
        found, counted = done.responses
        assert isinstance(counted, RangeResult)
        self.fence = found.create_revision if isinstance(found, KeyValue) else done.revision
        self._alone = counted.count == 1

    async def wait_turn(self, patience: Patience) -> None:
        """Waits for its turn; raises DeadlineExceeded, SessionLost, or what ended the waiting."""
        waited = False
        while not self._alone:
            found = await self._look(patience, waited)
            if found is None:
                return
            revision, contenders = found
            if all(kv.key != self.key for kv in contenders):
                self.session.declare_lost("its key is gone")
                self.check_alive()
            ahead = [kv for kv in contenders if kv.create_revision < self.fence]
            ahead.sort(key=lambda kv: kv.create_revision)
            wait = self._queue.rule.wait_for(self._queue.prefix, ahead)
            if wait is None:
                return
            await self._wait(wait, revision + 1, patience)
            waited = True

    async def leave(self, *, timeout_s: float | None = None) -> bool:
        """Gives the place back; returns whether it was kept until then."""
        return await self.session.close(timeout_s=timeout_s)

    async def _look(self, patience: Patience, waited: bool) -> tuple[int, list[KeyValue]] | None:
        """Returns all contenders, and the revision as of which they stand there; None if it is surely its turn."""
        pauses = Backoff(1)
        while True:
            self.check_alive()
            try:
                if waited and await self._is_turn(patience):
                    return None
                return await self._read(patience)
            except (errors.Unavailable, errors.DeadlineExceeded, errors.Compacted):
                # The place is kept as long as the session lives, so that it is worth trying.
                await self._pause(pauses, patience)

    async def _is_turn(self, patience: Patience) -> bool:
        """Asks whether it is surely its turn: of many contenders, each would read all the others otherwise."""
        turn = self._queue.rule.turn(self._queue.prefix, self.fence)
        if turn is None:
            return False
        asking = self._keys.txn().when(self.guard(), turn)
        return (await asking.commit(timeout_s=patience.call_s())).succeeded

    async def _read(self, patience: Patience) -> tuple[int, list[KeyValue]]:
        found: list[KeyValue] = []
        revision = 0
        while True:
            page = await self._keys.range(
                self._queue.prefix,
                prefix=True,
                keys_only=True,
                limit=PAGE_SIZE,
                revision=revision,
                start_after=found[-1].key if found else b"",
                timeout_s=patience.call_s(),
            )
            revision = page.revision
            found += page.kvs
            if not page.more or not page.kvs:
                return revision, found

    async def _wait(self, wait: Wait, start_revision: int, patience: Patience) -> None:
        """Waits until enough others are gone, or it is worth looking again."""
        watch = self._watch = self._keys.watch(
            wait.key, prefix=wait.prefix, start_revision=start_revision, puts=False
        )
        left = set(wait.keys)
        try:
            # A loss after this ends the watch, one before it shows here.
            self.check_alive()
            while len(left) > wait.rest:
                batch = await watch.next(patience.wait_s())
                left -= {event.key for event in batch.events}
        except errors.Compacted:
            pass
        except errors.DeadlineExceeded:
            raise patience.exhausted() from None
        except errors.Closed:
            self.check_alive()
            raise
        finally:
            self._watch = None
            await watch.close()

    async def _pause(self, pauses: Backoff, patience: Patience) -> None:
        pause_s, left_s = pauses.next_s(), patience.wait_s()
        await self.session.lost.wait(pause_s if left_s is None else min(pause_s, left_s))
        self.check_alive()

    def _note_loss(self, session: Session) -> None:
        watch = self._watch
        if watch is not None:
            watch.cancel()
        self._on_lost(self)
