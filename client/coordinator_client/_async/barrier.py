"""Points that programs wait at: until somebody opens the way, or until all have come."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from coordinator_client import errors, validation
from coordinator_client._async.arrival import await_change, deadline_of
from coordinator_client._async.keys import KeySpace
from coordinator_client._async.session import Session
from coordinator_client.compares import Key, Prefix
from coordinator_client.model import EventBatch, KeyValue, RangeResult, TxnResult
from coordinator_client.operations import Delete, Get, Nested, Put, Range


class Barrier:
    """A barrier that some put up and take away, and others wait at; made by `Client.barrier`.

    It is closed while the key /barriers/<name> exists.
    """

    def __init__(self, keys: KeySpace, name: str) -> None:
        self._keys = keys
        self._name = validation.name(name, "barrier")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}>"

    @property
    def name(self) -> str:
        """The name of the barrier."""
        return self._name

    @property
    def key(self) -> str:
        """The key that closes it."""
        return f"/barriers/{self._name}"

    async def create(self, *, session: Session | None = None) -> bool:
        """Closes the barrier; returns False if it was closed already.

        With `session` it opens when that session ends, so that it does not outlive its program.
        """
        txn = self._keys.txn().when(Key(self.key).missing())
        return (await txn.then(Put(self.key, session=session)).commit()).succeeded

    async def remove(self) -> bool:
        """Opens the barrier for all who wait; returns False if it was open already."""
        return (await self._keys.delete(self.key)).deleted > 0

    async def wait(self, timeout_s: float | None = None) -> None:
        """Waits until the barrier is open, at most `timeout_s` seconds; 0 looks once. Raises DeadlineExceeded.

        One that is opened and closed again at once lets pass who waited. While it waits, lost nodes do no harm.
        """
        deadline_s = deadline_of(timeout_s)
        closed_at = 0
        while True:
            found = await self._keys.range(self.key, keys_only=True)
            # A barrier that came into being later is another one than that which was waited at.
            if not found.kvs or closed_at not in (0, found.kvs[0].create_revision):
                return
            closed_at = found.kvs[0].create_revision
            if not await await_change(
                self._keys, self.key, found.revision, deadline_s, _any_delete, prefix=False
            ):
                raise errors.DeadlineExceeded(f"{self.key} was closed for {timeout_s} s")


class DoubleBarrier:
    """A barrier at which a number of programs begin together and end together; made by `Client.double_barrier`.

    Use it as a context manager, or call `enter` and `leave`. Each participant has an object, and a session, of its own.
    """

    def __init__(
        self, keys: KeySpace, name: str, count: int, make_session: Callable[[], Session]
    ) -> None:
        self._keys = keys
        self._name = validation.name(name, "barrier")
        self._count = validation.whole(count, "count", at_least=1)
        self._make_session = make_session
        self._session: Session | None = None
        self._round = 0
        """The revision at which the round began that this participant is in; 0: none."""

    def __repr__(self) -> str:
        state = "inside" if self._round else "outside"
        return f"<{type(self).__name__} {self._name} for {self._count}: {state}>"

    @property
    def name(self) -> str:
        """The name of the barrier."""
        return self._name

    @property
    def count(self) -> int:
        """How many participants it takes."""
        return self._count

    @property
    def prefix(self) -> str:
        """What its keys start with."""
        return f"/double-barriers/{self._name}/"

    async def __aenter__(self) -> Self:
        await self.enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.leave()
        else:
            # Nobody is made to wait for one that failed, nor it for others.
            await self._close_session()

    async def enter(self, timeout_s: float | None = None) -> None:
        """Waits until `count` participants have come, at most `timeout_s` seconds; for ever by default.

        One whose session ends while it waits does not count any more. Who comes while others are inside waits until
        they have left. Raises DeadlineExceeded, and is then not among those who have come; SessionLost if its own
        session ended.
        """
        deadline_s = deadline_of(timeout_s)
        if self._session is not None:
            raise errors.Closed("the participant is inside, or on its way")
        self._round = 0
        self._session = await self._make_session().open()
        try:
            if not await self._arrive(deadline_s) or not await self._gather(deadline_s):
                raise errors.DeadlineExceeded(
                    f"not {self._count} have come to {self.prefix} within {timeout_s} s"
                )
        except BaseException:
            await self._close_session()
            raise

    async def leave(self, timeout_s: float | None = None) -> None:
        """Leaves, and waits until all others of the round have left, at most `timeout_s` seconds; for ever by default.

        One whose session has ended counts as one that left. Raises DeadlineExceeded; this one has left all the same,
        and may call again to go on waiting.
        """
        deadline_s = deadline_of(timeout_s)
        if not self._round:
            raise errors.Closed("the participant is not inside")
        try:
            while True:
                result = await self._end_round(self._session)
                found = result.responses[0]
                if not isinstance(found, KeyValue) or found.create_revision != self._round:
                    break
                await self._close_session(keep_round=True)
                if not await await_change(
                    self._keys, self.prefix, result.revision, deadline_s, _any_delete
                ):
                    raise errors.DeadlineExceeded(
                        f"others are inside of {self.prefix} after {timeout_s} s"
                    )
        except errors.DeadlineExceeded:
            raise
        except BaseException:
            await self._close_session()
            raise
        await self._close_session()

    # --- steps ----------------------------------------------------------------------------------

    @property
    def _open_key(self) -> str:
        return f"{self.prefix}open"

    @property
    def _members(self) -> str:
        return f"{self.prefix}participants/"

    def _key_of(self, session: Session) -> str:
        return f"{self._members}{session.id:016x}"

    async def _arrive(self, deadline_s: float | None) -> bool:
        """Writes the key of this participant, as soon as no round is under way; returns False at the deadline."""
        session = self._open_session()
        mine = Put(self._key_of(session), session=session)
        while True:
            session.check_alive()
            # Where nobody is inside any more, a round that nobody ended is over.
            fresh = self._keys.txn().when(Prefix(self._members).missing())
            fresh.then(Delete(self._open_key), mine)
            fresh.otherwise(Nested((Key(self._open_key).missing(),), (mine,)))
            try:
                result = await fresh.commit()
            except errors.SessionNotFound as error:
                raise errors.SessionLost(
                    "the session of the participant ended", session.id
                ) from error
            nested = result.responses[0]
            if result.succeeded or (isinstance(nested, TxnResult) and nested.succeeded):
                return True
            if not await await_change(
                self._keys, self.prefix, result.revision, deadline_s, _any_delete
            ):
                return False

    async def _gather(self, deadline_s: float | None) -> bool:
        """Waits until the round begins, and begins it when all have come; returns False at the deadline."""
        session = self._open_session()
        mine = self._key_of(session)
        look = (Get(self._open_key), Get(mine), Range(self._members, prefix=True, count_only=True))
        late = False
        while True:
            session.check_alive()
            txn = self._keys.txn()
            if late:
                # Either this one is inside, or it has not come: nothing in between.
                txn.when(Key(self._open_key).missing()).then(Delete(mine)).otherwise(*look)
            else:
                txn.then(*look)
            result = await txn.commit()
            if late and result.succeeded:
                return False
            opened, own, members = result.responses
            if not isinstance(own, KeyValue):
                raise errors.SessionLost("the session of the participant ended", session.id)
            if isinstance(opened, KeyValue):
                self._round = opened.create_revision
                return True
            assert isinstance(members, RangeResult)
            if members.count >= self._count:
                begin = self._keys.txn().when(Key(self._open_key).missing(), Key(mine).exists())
                await begin.then(Put(self._open_key, str(self._count))).commit()
                continue
            late = not await await_change(
                self._keys, self.prefix, result.revision, deadline_s, _any_event
            )

    async def _end_round(self, session: Session | None) -> TxnResult:
        """Takes this participant out, ends the round if it was the last, and reads what is left of the round."""
        over = Nested((Prefix(self._members).missing(),), (Delete(self._open_key),))
        steps = [] if session is None else [Delete(self._key_of(session))]
        txn = self._keys.txn().when(Key(self._open_key).create_revision == self._round)
        txn.then(*steps, over, Get(self._open_key)).otherwise(*steps, Get(self._open_key))
        result = await txn.commit()
        return TxnResult(result.succeeded, result.revision, result.responses[-1:])

    def _open_session(self) -> Session:
        assert self._session is not None
        return self._session

    async def _close_session(self, *, keep_round: bool = False) -> None:
        session, self._session = self._session, None
        if not keep_round:
            self._round = 0
        if session is not None:
            await session.close()


def _any_delete(batch: EventBatch) -> bool:
    return any(not event.is_put for event in batch.events)


def _any_event(batch: EventBatch) -> bool:
    return bool(batch.events)
