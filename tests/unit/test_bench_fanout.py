"""The benchmark of watches fails when a watcher misses a change, or sees one twice or out of order."""

from __future__ import annotations

import pytest

from benchmarks.peers.fanout import Delivery


async def puts(count: int) -> tuple[Delivery, list[bytes]]:
    delivery = Delivery(watchers=2, exact=True)
    return delivery, [await delivery.next_value() for _ in range(count)]


async def test_every_watcher_is_to_see_every_put() -> None:
    delivery, values = await puts(2)
    for watcher in range(2):
        for revision, value in enumerate(values, 1):
            delivery.seen(watcher, value, revision)
    await delivery.wait([])
    assert len(delivery.latencies_s) == 4


async def test_a_put_that_was_missed_or_seen_twice_is_told() -> None:
    delivery, values = await puts(2)
    delivery.seen(0, values[0], 1)
    delivery.seen(0, values[1], 2)
    delivery.seen(1, values[0], 1)
    with pytest.raises(RuntimeError, match="events of 2 puts"):
        delivery.check()
    delivery.seen(1, values[0], 2)
    with pytest.raises(RuntimeError, match="twice"):
        delivery.check()


async def test_a_put_that_is_seen_out_of_order_is_told() -> None:
    delivery, values = await puts(2)
    for watcher, order in enumerate(([1, 2], [2, 1])):
        for revision in order:
            delivery.seen(watcher, values[revision - 1], revision)
    with pytest.raises(RuntimeError, match="out of order"):
        delivery.check()
