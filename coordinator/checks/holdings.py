"""The slots that this node holds: it runs the checks of the instances in them, and no other node does.

A node takes part by a key of its own session, and holds a slot by another one, which it creates. It deletes those that
belong to others by now, and creates those that are free and its own (`slots.share_of`). When it dies, or is cut off,
its session expires, and all of them are free at once. Whoever writes a result compares the revision of the slot's key,
so that a node that does not know yet that it lost a slot writes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from coordinator.checks.slots import (
    ROOT,
    ROOT_END,
    SLOTS,
    node_key,
    share_of,
    slot_key,
)
from coordinator.errors import RequestError
from coordinator.node.interface import Node
from coordinator.node.watches import Compacted, Filter
from coordinator.state.commands import (
    Compare,
    DeleteRange,
    Operator,
    Put,
    Range,
    Selector,
    SessionClose,
    SessionOpen,
    Target,
    Txn,
    Write,
)
from coordinator.state.model import KeyValue
from coordinator.state.results import Outcome, RangeResult, SessionResult, TxnResult

RETRY_S = 0.25
CLOSE_S = 0.5
"""How long a node that stops tries to give its slots back; else they go with its session."""

log = structlog.get_logger()


class Holdings:
    """Opens a session while there is something to check, and holds this node's share of the slots under it."""

    def __init__(self, node: Node, ttl_ms: int, changed: Callable[[], None]) -> None:
        """`changed` is called whenever `held` is another than before, in the same turn of the loop."""
        self._node = node
        self._ttl_ms = ttl_ms
        self._ttl_s = ttl_ms / 1000
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._wanted = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._session = 0
        self._sure_until = 0.0
        self._share: tuple[frozenset[str], frozenset[int]] = (frozenset(), frozenset())
        self._asking: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.held: dict[int, int] = {}
        """Slots with the revision of their keys."""

    @property
    def session(self) -> int:
        """The session that owns the slots; 0: there is none."""
        return self._session

    def sure(self) -> bool:
        """Whether the session was confirmed within its TTL: after that others may hold the slots."""
        return self._session != 0 and self._loop.time() < self._sure_until

    def want(self, wanted: bool) -> None:
        """Says whether there is anything to check."""
        on, off = (self._wanted, self._unwanted) if wanted else (self._unwanted, self._wanted)
        on.set()
        off.clear()

    async def run(self) -> None:
        """Holds slots as long as that is wanted, with one session after the other, until it is cancelled."""
        while True:
            await self._wanted.wait()
            try:
                await self._live()
            except RequestError as error:
                log.debug("no session for health checks", reason=error.reason)
            await asyncio.sleep(RETRY_S)

    async def _live(self) -> None:
        """One session, from its beginning until it is lost or not wanted any more. Raises RequestError."""
        session = secrets.randbits(62) + 1
        began = self._loop.time()
        metadata = (("member", self._node.member.name), ("purpose", "checks"))
        opening = SessionOpen(session, self._ttl_ms, None, metadata)
        outcome = await self._node.propose(opening, began + self._ttl_s)
        if not isinstance(outcome.result, SessionResult):
            return
        self._session, self._sure_until = session, began + self._ttl_s
        parts = [
            self._loop.create_task(part)
            for part in (self._renew(), self._follow(), self._wait_unwanted())
        ]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in parts:
                if part.done() and (error := part.exception()) is not None:
                    raise error
        finally:
            for part in [*parts, *self._tasks]:
                part.cancel()
            lost = not self.sure()
            self._session = 0
            self._asking.clear()
            self._let_go()
            if not lost:
                await self._close(session)

    async def _close(self, session: int) -> None:
        """Gives the slots back at once. If that can't be done, they go with the session."""
        closing = self._node.propose(SessionClose(session), self._loop.time() + CLOSE_S)
        with contextlib.suppress(RequestError):
            await closing

    def _let_go(self) -> None:
        if self.held:
            self.held = {}
            self._changed()

    async def _wait_unwanted(self) -> None:
        await self._unwanted.wait()

    async def _renew(self) -> None:
        """Keeps the session alive; returns when it is lost, or may be."""
        while True:
            now = self._loop.time()
            if now >= self._sure_until:
                log.warning("the session of this node's health checks was not confirmed in time")
                return
            try:
                deadline = min(now + self._ttl_s / 3, self._sure_until)
                (renewal,) = await self._node.keep_alive((self._session,), deadline)
            except RequestError:
                pause_s = self._ttl_s / 20
            else:
                if not renewal.ttl_ms:
                    self._sure_until = 0.0
                    return
                self._sure_until = now + self._ttl_s
                pause_s = self._ttl_s / 3
            left_s = self._sure_until - self._loop.time()
            await asyncio.sleep(max(0.0, min(pause_s, left_s)))

    # --- what the keys say, and what is done about it ------------------------------------------------

    async def _follow(self) -> None:
        """Takes part, and keeps to this node's share from then on; returns when somebody deletes the key for that."""
        key = node_key(self._node.member.name)
        await self._propose(Put(key, b"", self._session))
        while self._takes_part():
            stream = self._node.open_watch_stream()
            try:
                revision = self._node.state.revision
                stream.create(1, Filter(Selector(ROOT, ROOT_END)), revision + 1)
                self._reconcile()
                while self._takes_part():
                    await stream.wait()
                    taken = stream.take()
                    if taken is not None and isinstance(taken[1], Compacted):
                        break
                    self._reconcile()
            finally:
                stream.close()

    def _takes_part(self) -> bool:
        kv = self._get(node_key(self._node.member.name))
        return kv is not None and kv.session == self._session

    def _get(self, key: bytes) -> KeyValue | None:
        found = self._node.state.range(Range(Selector(key)))
        return found.kvs[0] if isinstance(found, RangeResult) and found.kvs else None

    def _reconcile(self) -> None:
        """Compares what this node holds with what it should hold, as far as it has applied the log."""
        if not self._session:
            return
        # Anybody may write below the prefix: only keys that count are read, however many there are.
        members = [member.peer.name for member in self._node.members()]
        takes_part = {name: self._get(node_key(name)) for name in members}
        names = {name for name, kv in takes_part.items() if kv is not None and kv.session}
        slots = {slot: self._get(slot_key(slot)) for slot in range(SLOTS)}
        owners = {slot: kv for slot, kv in slots.items() if kv is not None}
        if names != self._share[0]:
            self._share = frozenset(names), share_of(self._node.member.name, names)
        share = self._share[1]
        mine = {slot: kv for slot, kv in owners.items() if kv.session == self._session}
        held = {slot: kv.mod_revision for slot, kv in mine.items() if slot in share}
        if held != self.held:
            self.held = held
            self._changed()
        for slot, kv in mine.items():
            if slot not in share:
                self._ask(slot, self._give_back(kv))
        for slot in share - mine.keys():
            owner = owners.get(slot)
            if owner is None or self._is_left_behind(owner):
                self._ask(slot, self._claim(slot, owner))

    def _is_left_behind(self, owner: KeyValue) -> bool:
        """Whether a key belongs to nobody, or to an earlier life of this node, which is over."""
        return not owner.session or owner.value == self._node.member.name.encode()

    def _ask(self, slot: int, asking: Coroutine[Any, Any, Outcome]) -> None:
        """Has a slot changed, one change at a time."""
        if slot in self._asking:
            asking.close()
            return
        self._asking.add(slot)

        async def ask() -> None:
            try:
                answered = isinstance((await asking).result, TxnResult)
            except RequestError:
                answered = False
            if not answered:
                await asyncio.sleep(RETRY_S)
            self._asking.discard(slot)
            # What came meanwhile was passed over.
            self._reconcile()

        task = self._loop.create_task(ask())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _claim(self, slot: int, owner: KeyValue | None) -> Outcome:
        key = slot_key(slot)
        revision = 0 if owner is None else owner.mod_revision
        put = Put(key, self._node.member.name.encode(), self._session)
        return await self._propose(Txn((unchanged(key, revision),), (put,)))

    async def _give_back(self, kv: KeyValue) -> Outcome:
        delete = DeleteRange(Selector(kv.key))
        return await self._propose(Txn((unchanged(kv.key, kv.mod_revision),), (delete,)))

    async def _propose(self, op: Put | Txn) -> Outcome:
        return await self._node.propose(Write(op), self._loop.time() + self._ttl_s)


def unchanged(key: bytes, mod_revision: int) -> Compare:
    """Returns the condition that a key has not been written or deleted since; 0: that there is none."""
    return Compare(Selector(key), Operator.EQUAL, Target.MOD_REVISION, mod_revision)
