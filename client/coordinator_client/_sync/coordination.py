# Generated from coordinator_client/_async/coordination.py by scripts/unasync.py; edit that file instead.
"""How programs take turns: locks, semaphores, elections, and writes that only their holder can make."""

from __future__ import annotations

from collections.abc import Callable

from coordinator_client import calls, model, turns, validation
from coordinator_client._sync.election import Election
from coordinator_client._sync.held import put_guarded
from coordinator_client._sync.keys import KeySpace
from coordinator_client._sync.lock import Lock, RWLock
from coordinator_client._sync.place import Queue
from coordinator_client._sync.semaphore import Semaphore
from coordinator_client._sync.session import Session
from coordinator_client.compares import Key
from coordinator_client.operations import Owner, Put
from coordinator_client.pb import session_pb2
from coordinator_client.turns import Exclusive, Rule, Shared


class Coordination(KeySpace):
    """The recipes that make programs take turns; a part of `Client`.

    They are built on the keys that docs/recipes.md specifies. Of all of them, `ttl` is how many seconds a holder keeps
    what it has while no node hears of it, and `disconnect_grace` how many once its connection is lost; `owner` is what
    its key says to people, by default host and process; and `on_lost` is called once, from the background, with the
    object that was held and is lost. A name has 1 to 128 letters, digits, ".", "_", ":" and "-", the first a letter, a
    digit or "_"; anything else raises InvalidArgument.
    """

    def lock(
        self,
        name: str,
        *,
        ttl: float = 10.0,
        reentrant: bool = False,
        owner: str | None = None,
        disconnect_grace: float | None = None,
        on_lost: Callable[[Lock], None] | None = None,
    ) -> Lock:
        """Returns a fair lock that one program after the other holds: a context manager, with `acquire` and `release`.

        `reentrant`: the task or thread that holds it may acquire it again.
        """
        queue = self._queue(turns.LOCKS, name, Exclusive(), ttl, owner, disconnect_grace)
        return Lock(queue, reentrant, on_lost)

    def rwlock(
        self,
        name: str,
        *,
        ttl: float = 10.0,
        owner: str | None = None,
        disconnect_grace: float | None = None,
        on_lost: Callable[[Lock], None] | None = None,
    ) -> RWLock:
        """Returns a fair lock with two sides: `reader()`, which is shared, and `writer()`, which is not."""
        reading = self._queue(turns.LOCKS, name, Shared(), ttl, owner, disconnect_grace)
        writing = self._queue(turns.LOCKS, name, Exclusive(), ttl, owner, disconnect_grace)
        return RWLock(lambda: Lock(reading, False, on_lost), lambda: Lock(writing, False, on_lost))

    def semaphore(
        self,
        name: str,
        permits: int,
        *,
        ttl: float = 10.0,
        owner: str | None = None,
        disconnect_grace: float | None = None,
        on_lost: Callable[[Semaphore], None] | None = None,
    ) -> Semaphore:
        """Returns one of so many permits: a context manager, with `acquire` and `release`.

        All programs must name the same number of permits, 1 to 1000000.
        """
        rule = turns.check_permits(permits)
        queue = self._queue(turns.SEMAPHORES, name, rule, ttl, owner, disconnect_grace)
        return Semaphore(queue, on_lost)

    def election(
        self,
        name: str,
        *,
        ttl: float = 10.0,
        disconnect_grace: float | None = None,
        on_lost: Callable[[Election], None] | None = None,
    ) -> Election:
        """Returns an election, to stand in with `campaign` or to look at with `leader` and `observe`."""
        rule = Exclusive("candidate")
        queue = self._queue(turns.ELECTIONS, name, rule, ttl, None, disconnect_grace)
        return Election(queue, on_lost)

    def guarded_put(
        self,
        key: str | bytes,
        value: str | bytes = b"",
        *,
        holder: str | bytes,
        fence: int,
        session: Owner | int | None = None,
        prev: bool = False,
        timeout_s: float | None = None,
    ) -> model.PutResult:
        """Writes a key if `holder`, the `key` of what is held, stands with `fence`; raises FenceStale if it does not.

        This is for a program that works on behalf of a holder; the holder itself has `Lock.guarded_put`.
        """
        holds = Key(holder).create_revision == validation.whole(fence, "fence", at_least=1)
        operation = Put(key, value, session, prev=prev)
        return put_guarded(self, holds, operation, timeout_s)

    def _queue(
        self,
        root: str,
        name: str,
        rule: Rule,
        ttl: float,
        owner: str | None,
        disconnect_grace: float | None,
    ) -> Queue:
        prefix = turns.prefix_of(root, name)
        grace_ms = (
            None
            if disconnect_grace is None
            else calls.milliseconds(disconnect_grace, "disconnect_grace")
        )
        opening = session_pb2.SessionOpenRequest(
            ttl_ms=calls.milliseconds(ttl, "ttl"),
            disconnect_grace_ms=grace_ms,
            metadata={"purpose": prefix.decode().rstrip("/")},
        )

        def make_session(on_lost: Callable[[Session], None]) -> Session:
            return Session(self._connection, opening, on_lost, self._writes)

        described = turns.describe_program() if owner is None else owner
        return Queue(self, prefix, rule, make_session, self._connection.timeout_s, described)
