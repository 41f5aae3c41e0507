"""Followers are told each change once and in order, or begin anew."""

from __future__ import annotations

import asyncio

from coordinator.catalog.feeds import EVERY, Feeds, Subscription
from coordinator.catalog.index import Index
from coordinator.state.model import Cause, Event, KeyValue

VALUE = b'{"address": "10.0.0.1", "port": 1}'


class Source:
    """Takes changes into an index, and tells the followers."""

    def __init__(self) -> None:
        self.feeds = Feeds()
        self.index = Index()
        self.revision = 1

    def put(self, *names: str, value: bytes = VALUE) -> None:
        self._take(
            [
                Event(
                    name.encode(), KeyValue(name.encode(), value, 1, self.revision + 1, 1, 0), None
                )
                for name in names
            ]
        )

    def delete(self, *names: str, cause: Cause = Cause.DELETED) -> None:
        self._take([Event(name.encode(), None, None, cause) for name in names])

    def _take(self, events: list[Event]) -> None:
        self.revision += 1
        touched = self.feeds.begin(events, self.index)
        for event in events:
            if event.kv is not None:
                self.index.put(event.kv, self.revision)
            else:
                self.index.delete(event.key, self.revision)
        self.feeds.end(touched, self.revision, self.index)


async def taken(subscription: Subscription) -> list[tuple[int, list[tuple[str, str]]] | None]:
    """All that there is to take: None for a new beginning, else the revision, and instances with what befell them."""
    found: list[tuple[int, list[tuple[str, str]]] | None] = []
    while True:
        try:
            async with asyncio.timeout(0):
                await subscription.wait()
        except TimeoutError:
            return found
        step = subscription.take()
        if step is None:
            found.append(None)
            continue
        changes = [
            (
                change.instance.id,
                change.cause.name if not change.after else "changed" if change.before else "added",
            )
            for change in step.changes
        ]
        found.append((step.revision, changes))


async def test_changes_of_a_revision_come_together_and_with_their_cause() -> None:
    source = Source()
    one, every = source.feeds.subscribe("pay", 10), source.feeds.subscribe(EVERY, 10)
    assert await taken(one) == await taken(every) == [None]
    source.put("/services/pay/instances/b", "/services/pay/instances/a", "/services/a/instances/x")
    source.put("/services/pay/state/a", value=b'{"state": "critical"}')
    source.put("/services/pay/state/a", value=b'{"state": "critical"}')
    source.put("/services/pay/checks/a/http", "/services/pay/settings", "/elsewhere/a/b/c")
    source.delete("/services/pay/instances/a", "/services/pay/state/a", cause=Cause.CONNECTION_LOST)
    source.put("/services/pay/instances/b", value=b"junk")
    assert await taken(one) == [
        (2, [("a", "added"), ("b", "added")]),
        (3, [("a", "changed")]),
        (6, [("a", "CONNECTION_LOST")]),
        (7, [("b", "NONE")]),
    ]
    assert (await taken(every))[0] == (2, [("x", "added"), ("a", "added"), ("b", "added")])
    assert await taken(one) == []


async def test_who_falls_behind_begins_anew_and_then_goes_on() -> None:
    source = Source()
    slow, quick = source.feeds.subscribe("pay", 2), source.feeds.subscribe("pay", 2)
    assert await taken(slow) == [None]
    for n in range(3):
        assert len(await taken(quick)) == 1
        source.put(f"/services/pay/instances/{n}")
    assert await taken(slow) == [None]
    source.put("/services/pay/instances/4")
    assert await taken(slow) == [(5, [("4", "added")])]
    source.feeds.reset()
    assert await taken(slow) == await taken(quick) == [None]


async def test_nobody_is_told_after_leaving() -> None:
    source = Source()
    one = source.feeds.subscribe("pay", 10)
    assert source.feeds.followed and await taken(one) == [None]
    source.feeds.unsubscribe(one)
    assert not source.feeds.followed
    source.put("/services/pay/instances/a")
    assert await taken(one) == []
    assert source.feeds.begin([], source.index) is None
