"""Standing in line."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.gateways.etcd.lines import (
    leave,
    leaving_on_failure,
    stand_in_line,
    wait_for_end,
    wait_for_turn,
)
from coordinator.gateways.etcd.pb import kv_pb2
from coordinator.state.commands import Range, Selector
from tests.unit.gateways.etcd.conftest import Etcd
from tests.unit.gateways.etcd.test_lock import grant


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def test_each_waits_for_the_one_before_it_only(etcd: Etcd) -> None:
    node, places = etcd.node, []
    for id in (5, 6, 7):
        await grant(etcd, id)
        kv, lease, _ = await stand_in_line(node, b"n", id, b"", soon())
        assert lease == id
        places.append(kv)
    # A name that only begins alike is another line.
    await etcd.put(b"n0/9")
    assert await wait_for_turn(node, b"n", places[0])
    last = asyncio.create_task(wait_for_turn(node, b"n", places[2]))
    await etcd.bus.settle()
    assert node.watch_count == 1
    await leave(node, places[0].key, None, soon())
    await etcd.bus.settle()
    assert not last.done()
    await leave(node, places[1].key, 404, soon())
    await etcd.bus.settle()
    assert not last.done(), "it was another key that was to go"
    await leave(node, places[1].key, places[1].create_revision, soon())
    assert await last and node.watch_count == 0


async def test_an_end_is_seen_though_the_key_is_there_again(etcd: Etcd) -> None:
    await etcd.put(b"a")
    (kv, *_) = etcd.node.state.range(Range(Selector(b"a"))).kvs  # type: ignore[union-attr]  # it can be read
    ended = asyncio.create_task(wait_for_end(etcd.node, kv))
    await etcd.put(b"a", b"changed")
    await etcd.bus.settle()
    assert not ended.done()
    await etcd.kv("DeleteRange", kv_pb2.DeleteRangeRequest(key=b"a"))
    await etcd.put(b"a")
    async with asyncio.timeout(5):
        await ended
        await wait_for_end(etcd.node, kv)


async def test_who_fails_while_it_waits_leaves(etcd: Etcd) -> None:
    await grant(etcd, 5)
    kv, _, _ = await stand_in_line(etcd.node, b"n", 5, b"", soon())
    with pytest.raises(ZeroDivisionError):
        async with leaving_on_failure(etcd.node, kv):
            raise ZeroDivisionError
    async with asyncio.timeout(5):
        while (await etcd.range(kv.key)).count:
            await asyncio.sleep(0.01)
