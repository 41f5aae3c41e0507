"""Queues: each item goes to one taker, in the order of the queue."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from coordinator_client import _io_async as io
from coordinator_client import errors, validation
from coordinator_client._async.arrival import await_change, deadline_of
from coordinator_client._async.keys import KeySpace
from coordinator_client._async.session import Session
from coordinator_client._async.txn import Txn
from coordinator_client.compares import Key
from coordinator_client.items import Layout, QueueItem, Spread, item, priority_prefix
from coordinator_client.model import DeleteResult, KeyValue, RangeResult, TxnResult
from coordinator_client.operations import Delete, Get, Operation, Put, Range

_log = logging.getLogger("coordinator_client")

PAGE_SIZE = 64
"""Items that are looked at in one go."""


@dataclass(frozen=True)
class _Sight:
    """What was to be seen of a queue."""

    free: list[str]
    revision: int
    last: bytes = b""
    """The last key that was looked at, if there are more."""


class ItemQueue:
    """What `Queue` and `PriorityQueue` have in common: everything but putting."""

    _with_priority = False

    def __init__(self, keys: KeySpace, name: str, root: str) -> None:
        self._keys = keys
        self._name = validation.name(name, "queue")
        self._layout = Layout(f"{root}{name}/")
        self._spread = Spread()
        self._doubtful: dict[str, str] = {}
        """Claims that may or may not have been made, and that nobody knows of: their items, by their values."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}>"

    @property
    def name(self) -> str:
        """The name of the queue."""
        return self._name

    @property
    def prefix(self) -> str:
        """What all keys of the queue start with."""
        return self._layout.root

    async def take(self, timeout_s: float | None = None) -> QueueItem:
        """Takes an item out of the queue and returns it: the first that nobody has claimed.

        An item goes to one taker only, and is lost if that one dies. Waits for an item if there is none, at most
        `timeout_s` seconds: for ever by default, 0 takes what is there. Raises DeadlineExceeded. A take that ends with
        OutcomeUnknown, or is canceled, may have taken an item; with `claim` nothing gets lost.
        """
        id, result = await self._obtain(None, timeout_s)
        (deleted,) = result.responses
        assert isinstance(deleted, DeleteResult)
        return self._make(id, deleted.prevs[0].value)

    async def claim(self, session: Session, timeout_s: float | None = None) -> Claim:
        """Claims an item: nobody else gets it until the session ends, or the claim is released.

        It leaves the queue with `Claim.done`. If the session ends before, the item is free again, at its old place: so
        each item is worked on at least once, and twice only if somebody died, or lost its session, over it. Waits like
        `take`. Raises DeadlineExceeded, and SessionLost.
        """
        if not isinstance(session, Session):
            raise errors.InvalidArgument(f"session is {validation.shown(session)}, not a session")
        session.check_alive()
        await self._release_doubtful()
        id, result = await self._obtain(session, timeout_s)
        kv = result.responses[1]
        assert isinstance(kv, KeyValue)
        place = (self._item_key(id), self._claim_key(id))
        return Claim(self._keys, self._make(id, kv.value), session, place, result.revision)

    async def peek(self) -> QueueItem | None:
        """Returns the item that `take` would try for first, and leaves it there; None if there is none."""
        while True:
            sight = await self._look()
            if not sight.free:
                return None
            kv = await self._keys.get(self._item_key(sight.free[0]))
            if kv is not None:
                return self._make(sight.free[0], kv.value)

    async def size(self) -> int:
        """Returns how many items can be taken now: those that nobody has claimed."""
        txn = self._keys.txn().then(
            Range(self._layout.items, prefix=True, count_only=True),
            Range(self._layout.claims, prefix=True, count_only=True),
        )
        items, claims = (await txn.commit()).responses
        assert isinstance(items, RangeResult) and isinstance(claims, RangeResult)
        return max(0, items.count - claims.count)

    # --- steps ----------------------------------------------------------------------------------

    async def _put(self, start: str, value: str | bytes, timeout_s: float | None) -> QueueItem:
        encoded = validation.to_bytes(value, "value")
        key = f"{self._layout.items}{start}"
        result = await self._keys.put(key, encoded, sequence=True, timeout_s=timeout_s)
        return self._make(self._layout.id_of(result.key), encoded)

    async def _obtain(
        self, session: Session | None, timeout_s: float | None
    ) -> tuple[str, TxnResult]:
        """Takes an item, or claims it under the session; waits while there is none to be had."""
        deadline_s = deadline_of(timeout_s)
        sight = await self._look()
        while True:
            if sight.free:
                id = self._spread.choose(sight.free)
                result = await self._attempt(id, session)
                self._spread.note(result.succeeded)
                if result.succeeded:
                    return id, result
                # What there is to be had now came with the refusal.
                sight = await self._look(result)
            elif await await_change(
                self._keys, self.prefix, sight.revision, deadline_s, self._layout.brings_items
            ):
                if (pause_s := self._spread.pause_s()) > 0:
                    await io.Flag().wait(pause_s)
                sight = await self._look()
            else:
                raise errors.DeadlineExceeded(f"{self.prefix} had no item for {timeout_s} s")

    async def _attempt(self, id: str, session: Session | None) -> TxnResult:
        """Takes or claims an item if it is free; else reads what is."""
        item_key, claim_key = self._item_key(id), self._claim_key(id)
        txn = self._keys.txn().when(Key(item_key).exists(), Key(claim_key).missing())
        txn.otherwise(*self._looks())
        if session is None:
            return await txn.then(Delete(item_key, prev=True)).commit()
        session.check_alive()
        # A value of its own tells the claim from any other one of the item, whatever becomes of the answer.
        mark = secrets.token_hex(8)
        txn.then(Put(claim_key, mark, session), Get(item_key))
        try:
            return await txn.commit()
        except errors.SessionNotFound as error:
            session.declare_lost("the cluster does not know the session any more")
            raise errors.SessionLost(session.lost_reason, session.id) from error
        except errors.RequestRefused:
            raise
        except BaseException:
            self._doubtful[mark] = id
            raise

    def _looks(self, after: bytes = b"") -> tuple[Operation, ...]:
        """What to read to know the first items that are free, those up to `after` left out."""
        items = self._layout.items.encode()
        # One byte above the slash at the end of the prefix.
        end = items[:-1] + b"0"
        first = Range(
            after + b"\0" if after else items, range_end=end, limit=PAGE_SIZE, keys_only=True
        )
        return first, Range(self._layout.claims, prefix=True, keys_only=True)

    async def _look(self, result: TxnResult | None = None) -> _Sight:
        """Returns items that are free: some of the first, or none if there are none."""
        if result is None:
            result = await self._keys.txn().then(*self._looks()).commit()
        sight = first = self._see(result)
        while not sight.free and sight.last:
            sight = self._see(await self._keys.txn().then(*self._looks(sight.last)).commit())
        # What became free on an earlier page meanwhile is to be noticed, too.
        return replace(sight, revision=first.revision)

    def _see(self, result: TxnResult) -> _Sight:
        items, claims = result.responses
        assert isinstance(items, RangeResult) and isinstance(claims, RangeResult)
        free = self._layout.free((kv.key for kv in items.kvs), (kv.key for kv in claims.kvs))
        return _Sight(free, result.revision, items.kvs[-1].key if items.more else b"")

    async def _release_doubtful(self) -> None:
        """Frees items that were claimed by calls that did not learn of it."""
        for mark, id in tuple(self._doubtful.items()):
            key = self._claim_key(id)
            await self._keys.txn().when(Key(key).value == mark).then(Delete(key)).commit()
            self._doubtful.pop(mark, None)

    def _item_key(self, id: str) -> str:
        return f"{self._layout.items}{id}"

    def _claim_key(self, id: str) -> str:
        return f"{self._layout.claims}{id}"

    def _make(self, id: str, value: bytes) -> QueueItem:
        return item(id, value, with_priority=self._with_priority)


class Queue(ItemQueue):
    """A queue: first in, first out; made by `Client.queue`.

    Many takers get the items in the order in which they were put, except that those who try at the same moment may
    overtake each other by a few. The keys are /queues/<name>/items/… and /queues/<name>/claims/….
    """

    def __init__(self, keys: KeySpace, name: str) -> None:
        super().__init__(keys, name, "/queues/")

    async def put(self, value: str | bytes, *, timeout_s: float | None = None) -> QueueItem:
        """Adds an item at the end and returns it; raises OutcomeUnknown if it may have been added, or may be yet."""
        return await self._put("", value, timeout_s)


class PriorityQueue(ItemQueue):
    """A queue with priorities: the lowest number first, and among equals first in, first out.

    Made by `Client.priority_queue`. Otherwise like `Queue`; the keys are below /priority-queues/<name>/.
    """

    _with_priority = True

    def __init__(self, keys: KeySpace, name: str) -> None:
        super().__init__(keys, name, "/priority-queues/")

    async def put(
        self, value: str | bytes, priority: int = 100, *, timeout_s: float | None = None
    ) -> QueueItem:
        """Adds an item and returns it. `priority`: 0 to 999999, the lower the sooner.

        Raises OutcomeUnknown if it may have been added, or may be yet.
        """
        return await self._put(priority_prefix(priority), value, timeout_s)


class Claim:
    """An item that one program works on; made by `Queue.claim`.

    Use it as a context manager: when the block ends, the item is done, and after an exception it is released. The claim
    stands as long as its session: a long task looks at `session.lost` before it does what must not be done twice.
    """

    def __init__(
        self,
        keys: KeySpace,
        item: QueueItem,
        session: Session,
        place: tuple[str, str],
        revision: int,
    ) -> None:
        self._keys = keys
        self._item = item
        self._session = session
        self._item_key, self._claim_key = place
        self._revision = revision
        self._over = False
        self._uncertain = False
        """Whether the item may be done although nobody said so."""

    def __repr__(self) -> str:
        state = "over" if self._over else "lost" if self._session.lost.is_set() else "stands"
        return f"<{type(self).__name__} of {self._item_key}: {state}>"

    @property
    def item(self) -> QueueItem:
        """The item."""
        return self._item

    @property
    def session(self) -> Session:
        """The session that the claim belongs to."""
        return self._session

    @property
    def fence(self) -> int:
        """A number that grows with every claim of the item, to be handed to whatever must not listen to an old one."""
        return self._revision

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._over:
            return
        if kind is None:
            await self.done()
            return
        try:
            await self.release()
        except errors.CoordinatorError as failure:
            _log.warning("%s is released when its session ends: %s", self._claim_key, failure)

    async def done(self) -> None:
        """Takes the item out of the queue for good.

        Raises SessionLost if the claim does not stand any more: somebody else may work on the item, or have done so.
        Raises OutcomeUnknown like any write; call it again then. Raises Closed after `release`, and after it succeeded.
        """
        self._check()
        txn = self._mine().then(Delete(self._item_key), Delete(self._claim_key))
        try:
            result = await txn.otherwise(Get(self._item_key)).commit()
        except BaseException:
            self._uncertain = True
            raise
        # Where an earlier call may have done it, that the item is gone is what was wanted.
        if not result.succeeded and not (self._uncertain and result.responses == (None,)):
            raise errors.SessionLost(f"the claim of {self._item_key} is lost", self._session.id)
        self._over = True

    async def release(self) -> None:
        """Gives the item back, to its old place; it is free at once. Raises Closed like `done`."""
        self._check()
        await self._mine().then(Delete(self._claim_key)).commit()
        self._over = True

    def _check(self) -> None:
        if self._over:
            raise errors.Closed("the claim is over: the item was released, or is done")

    def _mine(self) -> Txn:
        """Returns a transaction that does something only while this claim stands."""
        return self._keys.txn().when(Key(self._claim_key).create_revision == self._revision)
