"""What locks, semaphores and elections share: something that is held, and a fence that proves it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from coordinator_client import _io_async as io
from coordinator_client import errors, model, validation
from coordinator_client._async.keys import KeySpace
from coordinator_client._async.place import Patience, Place, Queue
from coordinator_client._async.session import Session
from coordinator_client.compares import Compare
from coordinator_client.operations import Owner, Put

_log = logging.getLogger("coordinator_client")

GIVE_BACK_TIMEOUT_S = 1.0
"""How long a contender that gives up tries to tell the cluster before it leaves that to the session's TTL."""
ALREADY_HELD = "ALREADY_HELD"
"""The reason of the RequestRefused that an object raises which holds already, or is about to."""


async def put_guarded(
    keys: KeySpace, holds: Compare, operation: Put, timeout_s: float | None
) -> model.PutResult:
    """Writes a key if the condition holds; raises FenceStale if it does not."""
    done = await keys.txn().when(holds).then(operation).commit(timeout_s=timeout_s)
    if not done.succeeded:
        raise errors.FenceStale(f"nothing was written: {holds.selector} is not held any more")
    written = done.responses[0]
    assert isinstance(written, model.PutResult)
    return written


class Held:
    """Something that the cluster gives to its contenders in turn; Lock, Semaphore and Election are such.

    One object holds once: it is cheap, so make one for each task or thread.
    """

    def __init__(self, queue: Queue, on_lost: Callable[[Any], None] | None) -> None:
        validation.text(queue.owner, "owner")
        if on_lost is not None and not callable(on_lost):
            raise errors.InvalidArgument(f"on_lost is {validation.shown(on_lost)}, not a function")
        self._queue = queue
        self._on_lost = on_lost
        self._guard = io.Guard()
        self._contending = False
        self._place: Place | None = None
        self.lost = io.Flag()
        """Set at once when it was held and is not any more: `is_set()`, `wait(timeout_s)`. Cleared by the next turn."""
        self.lost_reason = ""
        """A sentence for people, once `lost` is set."""

    def __repr__(self) -> str:
        if self.held:
            state = f"held, fence {self.fence}"
        elif self.lost.is_set():
            state = "lost"
        else:
            state = "contending" if self._contending else "not held"
        name = self._queue.prefix.decode().rstrip("/")
        return f"<{type(self).__name__} {name}: {state}>"

    @property
    def held(self) -> bool:
        """Whether it is surely held at this moment, by the clock of this program."""
        place = self._place
        return place is not None and place.session.remaining_s > 0

    @property
    def fence(self) -> int:
        """A number that is greater for every later holder; 0 while it is not held. It stays when it is lost."""
        place = self._place
        return 0 if place is None else place.fence

    @property
    def key(self) -> bytes:
        """The holder's key, which stands as long as it is held; empty while it is not held."""
        place = self._place
        return b"" if place is None else place.key

    @property
    def session(self) -> Session | None:
        """The session that it hangs on; None while it is not held."""
        place = self._place
        return None if place is None else place.session

    def guard(self) -> Compare:
        """Returns the condition that it is still held, for `Txn.when`; raises FenceStale if it is not held."""
        place = self._place
        if place is None:
            raise errors.FenceStale("it is not held")
        return place.guard()

    async def guarded_put(
        self,
        key: str | bytes,
        value: str | bytes = b"",
        *,
        session: Owner | int | None = None,
        prev: bool = False,
        timeout_s: float | None = None,
    ) -> model.PutResult:
        """Writes a key if, at that revision, it is still held; raises FenceStale if not. Else like `Client.put`."""
        operation = Put(key, value, session, prev=prev)
        return await put_guarded(self._queue.keys, self.guard(), operation, timeout_s)

    async def _claim(self, value: str | bytes, timeout_s: float | None) -> int:
        """Waits for its turn; returns the fence. Whatever goes wrong, the place in the queue is given back."""
        patience = Patience(timeout_s, self._queue.call_timeout_s)
        with self._guard:
            if self._contending or self._place is not None:
                raise errors.RequestRefused(
                    "this object holds already, or is about to; make another one", ALREADY_HELD
                )
            self._contending = True
        place = Place(self._queue, self._note_loss)
        try:
            await place.take(value, patience)
            await place.wait_turn(patience)
            with self._guard:
                self.lost.clear()
                self.lost_reason = ""
                self._place = place
            # A loss after this is told by `lost`, one before it shows here.
            place.check_alive()
        except BaseException:
            self._place = None
            await place.leave(timeout_s=min(GIVE_BACK_TIMEOUT_S, self._queue.call_timeout_s))
            raise
        finally:
            self._contending = False
        return place.fence

    async def _give_back(self) -> bool:
        """Gives it to the next one; returns whether it was held until then."""
        with self._guard:
            place, self._place = self._place, None
        if place is None:
            return False
        kept = await place.leave()
        if not kept:
            self._mark_lost(place.session.lost_reason or "it was gone when it was given back")
        return kept

    def _check_kept(self, *, holding: bool, kept: bool, error: BaseException | None) -> None:
        """At the end of a block: raises a loss that the program was not told of and no other exception covers."""
        if holding and not kept and error is None:
            raise errors.SessionLost(self.lost_reason)

    def _mark_lost(self, reason: str) -> None:
        if not self.lost.is_set():
            self.lost_reason = reason
            self.lost.set()

    def _note_loss(self, place: Place) -> None:
        with self._guard:
            if self._place is not place:
                return
            self._mark_lost(place.session.lost_reason)
        if self._on_lost is not None:
            try:
                self._on_lost(self)
            except Exception:
                _log.exception("on_lost of %r failed", self)
