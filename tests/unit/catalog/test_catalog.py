"""The catalog follows the applied state, one revision at a time, and begins anew when it lost the thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from coordinator.catalog.catalog import Catalog
from coordinator.catalog.feeds import EVERY
from coordinator.config import Limits, Timing
from coordinator.errors import RequestError
from coordinator.node.watches import WatchStream
from coordinator.state.commands import Command, Compact, DeleteRange, Put, Selector, Txn, Write
from tests.bus import Bus


def definition(id: str, address: str = "10.0.0.1", service: str = "pay") -> Put:
    value = b'{"address": "%s", "port": 80}' % address.encode()
    return Put(f"/services/{service}/instances/{id}".encode(), value)


def state(id: str, status: str) -> Put:
    return Put(f"/services/pay/state/{id}".encode(), b'{"state": "%s"}' % status.encode())


def delete(key: str) -> DeleteRange:
    return DeleteRange(Selector(key.encode()))


def soon(seconds: float = 5) -> float:
    return asyncio.get_running_loop().time() + seconds


async def write(bus: Bus, *ops: Put | DeleteRange) -> int:
    """Writes all of it in one revision, and waits until whoever follows has seen it."""
    command: Command = Write(Txn((), ops))
    await bus.nodes[0].propose(command, asyncio.get_running_loop().time() + 5)
    await bus.settle()
    return bus.nodes[0].state.revision


@contextlib.asynccontextmanager
async def following(bus: Bus) -> AsyncIterator[Catalog]:
    catalog = Catalog(bus.nodes[1])
    task = asyncio.create_task(catalog.run())
    try:
        yield catalog
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert bus.nodes[1].watch_count == 0


def ids(catalog: Catalog) -> list[str]:
    return [instance.id for instance in catalog.service("pay")]


async def test_what_was_there_and_what_comes_is_known() -> None:
    async with Bus() as bus:
        await write(bus, definition("b"), state("b", "warning"))
        async with following(bus) as catalog:
            assert not catalog.ready and catalog.services() == ()
            await catalog.wait_ready()
            assert catalog.ready and ids(catalog) == ["b"]
            first = catalog.revision_of("pay")
            second = await write(bus, definition("a"), definition("x", service="mail"))
            assert catalog.services() == ("mail", "pay")
            assert ids(catalog) == ["b", "a"], "in order of registration"
            assert first < catalog.revision_of("pay") == second == catalog.revision
            third = await write(bus, state("b", "critical"))
            assert [i.healthy for i in catalog.service("pay")] == [False, True]
            assert (catalog.revision_of("pay"), catalog.revision_of("mail")) == (third, second)
            await write(bus, Put(b"/elsewhere", b""))
            assert catalog.revision == third
            assert [i.service for i in catalog.at(bytes([10, 0, 0, 1]))] == ["pay", "pay", "mail"]
            await write(bus, delete("/services/mail/instances/x"))
            assert catalog.services() == ("pay",) and catalog.revision_of("mail") == 0


async def test_a_node_that_has_never_had_a_quorum_says_nothing() -> None:
    async with Bus(timing=Timing(request_timeout_ms_default=50)) as bus:
        await write(bus, definition("a"))
        bus.quorum = False
        async with following(bus) as catalog:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await catalog.wait_ready()
            assert catalog.services() == ()
            bus.quorum = True
            async with asyncio.timeout(5):
                await catalog.wait_ready()
            assert ids(catalog) == ["a"]
            bus.quorum = False
            bus.elect(None)
            assert catalog.ready and ids(catalog) == ["a"], "once it knew, it goes on"


async def test_a_revision_is_seen_whole_or_not_at_all() -> None:
    async with Bus() as bus, following(bus) as catalog:
        await catalog.wait_ready()
        await write(bus, *(definition(str(n), "10.0.0.1") for n in range(100)))
        seen: list[set[str]] = []

        async def look() -> None:
            while True:
                seen.append({instance.address for instance in catalog.service("pay")})
                await asyncio.sleep(0)

        task = asyncio.create_task(look())
        for n in range(2, 12):
            await write(bus, *(definition(str(i), f"10.0.0.{n}") for i in range(100)))
        task.cancel()
        assert {f"10.0.0.{n}" for n in range(1, 12)} == set.union(*seen)
        assert all(len(addresses) == 1 for addresses in seen)


async def test_results_of_checks_are_known_and_followed() -> None:
    async with Bus() as bus:
        checked = b'{"address": "a", "port": 1, "checks": {"c": {"kind": "tcp"}}}'
        await write(bus, Put(b"/services/pay/instances/a", checked), definition("b"))
        async with following(bus) as catalog:
            await catalog.wait_ready()
            subscription = catalog.subscribe(EVERY)
            assert subscription.take() is None
            assert catalog.checked() == [("pay", "a")] and catalog.result("pay", "a", "c") is None
            await write(bus, Put(b"/services/pay/checks/a/c", b'{"state": "passing"}'))
            await subscription.wait()
            step = subscription.take()
            assert step is not None
            (change,) = step.changes
            found = catalog.instance("pay", "a")
            assert change.after is found and found is not None and found.healthy
            assert change.before is not None and change.before.state.status == "starting"
            result = catalog.result("pay", "a", "c")
            assert result is not None and result.state.status == "passing"
            catalog.unsubscribe(subscription)


@pytest.mark.parametrize(("backlog", "times"), [(1, 2), (1000, 1)])
async def test_it_begins_anew_when_history_it_needs_is_gone(
    monkeypatch: pytest.MonkeyPatch, backlog: int, times: int
) -> None:
    async with Bus(limits=Limits(watch_backlog_batches_max=backlog)) as bus:
        node = bus.nodes[1]
        opened: list[WatchStream] = []
        real = node.open_watch_stream

        def open_watch_stream() -> WatchStream:
            opened.append(real())
            return opened[-1]

        monkeypatch.setattr(node, "open_watch_stream", open_watch_stream)
        async with following(bus) as catalog:
            await catalog.wait_ready()
            await write(bus, definition("a"), definition("b"))
            assert ids(catalog) == ["a", "b"]
            before = catalog.revision_of("pay")
            # The node takes all of this in at once, so that the catalog sees nothing in between.
            bus.behind.add(2)
            # Nothing that is still there tells of the deletion.
            await write(bus, delete("/services/pay/instances/a"))
            await write(bus, definition("x", service="mail"))
            revision = await write(bus, definition("y", service="mail"))
            await bus.nodes[0].propose(Compact(revision), asyncio.get_running_loop().time() + 5)
            assert ids(catalog) == ["a", "b"]
            bus.behind.clear()
            bus.apply(bus.members[1])
            assert node.state.compacted_revision == revision
            await bus.settle()
            assert ids(catalog) == ["b"]
            assert catalog.revision_of("pay") > before and len(opened) == times
            await write(bus, delete("/services/pay/instances/b"))
            assert ids(catalog) == []


async def test_it_says_how_far_it_is() -> None:
    async with Bus() as bus:
        first = await write(bus, definition("a"))
        async with following(bus) as catalog:
            assert catalog.seen == 0
            await catalog.reach(first, soon())
            assert catalog.ready and catalog.seen == first
            # What is no service's counts, too: nothing more of it is to come.
            second = await write(bus, Put(b"/elsewhere", b""))
            await catalog.reach(second, soon())
            assert catalog.seen == second and catalog.revision == first
            for n in range(50):
                await bus.nodes[1].propose(Write(definition(f"n-{n}")), soon())
                revision = bus.nodes[1].state.revision
                await catalog.reach(revision, soon())
                assert ids(catalog)[-1] == f"n-{n}" and catalog.seen >= revision
            with pytest.raises(RequestError) as caught:
                await catalog.reach(revision + 1, soon(0.05))
            assert caught.value.reason == "NOT_READY"


async def test_it_claims_no_revision_that_it_has_not_taken_in() -> None:
    async with Bus() as bus, following(bus) as catalog:
        await catalog.wait_ready()
        wrong: list[int] = []

        async def look() -> None:
            while True:
                counts = sum(1 for each in ids(catalog) if each.startswith("n-"))
                if counts != 100 * (catalog.seen - base):
                    wrong.append(catalog.seen)
                await asyncio.sleep(0)

        base = bus.nodes[1].state.revision
        task = asyncio.create_task(look())
        bus.behind.add(2)
        # Taken by the catalog at once, and more than it takes in without letting others have a look.
        for n in range(10):
            many = tuple(definition(f"n-{n}-{i}") for i in range(100))
            await bus.nodes[0].propose(Write(Txn((), many)), soon())
        bus.behind.clear()
        bus.apply(bus.members[1])
        await catalog.reach(bus.nodes[1].state.revision, soon())
        task.cancel()
        assert len(ids(catalog)) == 1_000 and wrong == []


async def test_followers_begin_anew_when_it_does() -> None:
    async with Bus(limits=Limits(watch_backlog_batches_max=1)) as bus, following(bus) as catalog:
        await catalog.wait_ready()
        await write(bus, definition("a"), definition("b"))
        subscription = catalog.subscribe("pay")
        assert subscription.take() is None
        assert [i.id for group in catalog.snapshot("pay") for i in group] == ["a", "b"]
        assert catalog.snapshot(EVERY) == (catalog.service("pay"),)
        await write(bus, definition("c"))
        step = subscription.take()
        assert step is not None and [c.instance.id for c in step.changes] == ["c"]
        bus.behind.add(2)
        await write(bus, delete("/services/pay/instances/a"))
        await write(bus, definition("x", service="mail"))
        revision = await write(bus, definition("y", service="mail"))
        await bus.nodes[0].propose(Compact(revision), soon())
        bus.behind.clear()
        bus.apply(bus.members[1])
        await catalog.reach(bus.nodes[1].state.revision, soon())
        async with asyncio.timeout(5):
            await subscription.wait()
        assert subscription.take() is None, "nothing that is still there tells of the deletion"
        assert [i.id for group in catalog.snapshot("pay") for i in group] == ["b", "c"]
        catalog.unsubscribe(subscription)
        assert not catalog.followed
