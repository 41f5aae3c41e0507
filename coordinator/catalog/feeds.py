"""What happens to instances, told to whoever follows a service: every change, one revision at a time and in order.

A follower takes steps out of a queue of its own. One that falls too far behind loses its queue, and begins anew with
the instances that there are: it costs a bounded amount of memory, and nobody else anything.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Iterable

import msgspec

from coordinator.catalog.index import Index
from coordinator.catalog.instances import DEFINITIONS, ROOT, Instance
from coordinator.state.model import Cause, Event

EVERY = ""
"""In place of the name of a service: all services."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """What one revision did to one instance. One of `before` and `after` is set, or both are, and differ."""

    before: Instance | None
    after: Instance | None
    cause: Cause
    """Why it went; NONE if it did not, or if its definition was replaced by something that is none."""

    @property
    def instance(self) -> Instance:
        """As it is now; of one that went: as it was last."""
        found = self.after or self.before
        assert found is not None
        return found


class Step:
    """All changes of one revision that concern a follower, by service and in order of registration."""

    __slots__ = ("changes", "rendered", "revision")

    def __init__(self, revision: int, changes: tuple[Change, ...]) -> None:
        self.revision = revision
        self.changes = changes
        self.rendered: dict[Hashable, object] = {}
        """Room for whoever encodes: one encoding serves all followers with equal filters."""


class Subscription:
    """One follower of a service, or of all."""

    def __init__(self, service: str, backlog_max: int) -> None:
        self.service = service
        self._backlog_max = backlog_max
        self._queue: deque[Step] = deque()
        self._lost = True
        self._wake = asyncio.Event()
        self._wake.set()

    def add(self, step: Step) -> None:
        """Takes what happened."""
        if self._lost:
            return
        if len(self._queue) >= self._backlog_max:
            self.lose()
        else:
            self._queue.append(step)
            self._wake.set()

    def lose(self) -> None:
        """Lets go of all that was not taken yet: the follower has to begin anew."""
        self._queue.clear()
        self._lost = True
        self._wake.set()

    async def wait(self) -> None:
        """Returns when there is something to take."""
        await self._wake.wait()

    def take(self) -> Step | None:
        """Returns what happened next; None: the follower begins (anew) with the instances there are in this very turn.

        To be called after `wait`.
        """
        if self._lost:
            self._lost = False
            self._wake.clear()
            return None
        step = self._queue.popleft()
        if not self._queue:
            self._wake.clear()
        return step


class Touched:
    """The instances that one revision may change, as they were before it."""

    __slots__ = ("before", "causes")

    def __init__(self) -> None:
        self.before: dict[tuple[str, str], Instance | None] = {}
        self.causes: dict[tuple[str, str], Cause] = {}


class Feeds:
    """All followers. What no one follows costs nothing."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, dict[Subscription, None]] = {}

    @property
    def followed(self) -> bool:
        """Whether there are any."""
        return bool(self._subscriptions)

    def subscribe(self, service: str, backlog_max: int) -> Subscription:
        """Returns a new follower of a service, or of EVERY; the caller gives it back to `unsubscribe`.

        `backlog_max`: steps that may wait for it to take them.
        """
        subscription = Subscription(service, backlog_max)
        self._subscriptions.setdefault(service, {})[subscription] = None
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forgets a follower."""
        followers = self._subscriptions[subscription.service]
        del followers[subscription]
        if not followers:
            del self._subscriptions[subscription.service]

    def reset(self) -> None:
        """The index is another one from now on: everyone begins anew."""
        for followers in self._subscriptions.values():
            for subscription in followers:
                subscription.lose()

    def begin(self, events: Iterable[Event], index: Index) -> Touched | None:
        """Takes note of what a revision is about to change; to be called before the index takes it in."""
        if not self._subscriptions:
            return None
        touched = Touched()
        for event in events:
            parts = _parts(event.key)
            if parts is None:
                continue
            service, kind, id = parts
            if service not in self._subscriptions and EVERY not in self._subscriptions:
                continue
            if (service, id) not in touched.before:
                touched.before[service, id] = index.instance(service, id)
            if kind == DEFINITIONS and event.kv is None:
                touched.causes[service, id] = event.cause
        return touched

    def end(self, touched: Touched | None, revision: int, index: Index) -> None:
        """Tells the followers what the revision changed, now that the index has taken it in."""
        if touched is None:
            return
        changes: dict[str, list[Change]] = {}
        for (service, id), before in touched.before.items():
            after = index.instance(service, id)
            if before is after or before == after:
                continue
            cause = Cause.NONE if after else touched.causes.get((service, id), Cause.NONE)
            changes.setdefault(service, []).append(Change(before, after, cause))
        for service, found in changes.items():
            found.sort(key=lambda change: change.instance.place)
            self._tell(service, revision, found)
        self._tell(EVERY, revision, [c for name in sorted(changes) for c in changes[name]])

    def _tell(self, service: str, revision: int, changes: list[Change]) -> None:
        followers = self._subscriptions.get(service)
        if followers and changes:
            step = Step(revision, tuple(changes))
            for subscription in followers:
                subscription.add(step)


def _parts(key: bytes) -> tuple[str, str, str] | None:
    """Returns the service, the kind and the id in a key that may say something about an instance."""
    if not key.startswith(ROOT) or not key.isascii():
        return None
    parts = key[len(ROOT) :].decode("ascii").split("/")
    return None if len(parts) < 3 else (parts[0], parts[1], parts[2])
