"""Ranges of etcd's API, read in pages."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.gateways.etcd import ranges
from coordinator.gateways.etcd.pb import kv_pb2 as pb
from tests.unit.gateways.etcd.conftest import Etcd


async def fill(etcd: Etcd) -> None:
    """Six keys with different versions and values: k1 was written last."""
    for number in range(6):
        await etcd.put(b"k%d" % number, b"%d" % (number % 3))
    for number in (4, 4, 2, 1):
        await etcd.put(b"k%d" % number, b"9")


def keys(response: pb.RangeResponse) -> list[bytes]:
    return [kv.key for kv in response.kvs]


@pytest.mark.parametrize("page", [1, 2, 1_000])
async def test_sorts_sifts_and_limits(
    etcd: Etcd, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "PAGE_KEYS", page)
    monkeypatch.setattr(ranges, "RUN_KEYS", 2 * page)
    await fill(etcd)

    async def read(**fields: object) -> tuple[list[bytes], bool, int]:
        found = await etcd.range(b"k", b"l", **fields)
        return keys(found), found.more, found.count

    assert await read(limit=2) == ([b"k0", b"k1"], True, 6)
    assert await read(limit=6) == ([b"k0", b"k1", b"k2", b"k3", b"k4", b"k5"], False, 6)
    assert await read(sort_order="DESCEND", limit=2) == ([b"k5", b"k4"], True, 6)
    version = await read(sort_target="VERSION", sort_order="DESCEND", limit=3)
    assert version == ([b"k4", b"k1", b"k2"], True, 6)
    assert (await read(sort_target="MOD", sort_order="DESCEND", limit=1))[0] == [b"k1"]
    assert (await read(sort_target="VALUE", sort_order="ASCEND"))[0][:2] == [b"k0", b"k3"]
    # What is sifted out is counted all the same.
    assert await read(min_mod_revision=9, max_mod_revision=10) == ([b"k2", b"k4"], False, 6)
    assert await read(max_create_revision=3) == ([b"k0", b"k1"], False, 6)
    assert await read(min_create_revision=4, limit=2) == ([b"k2", b"k3"], True, 6)
    assert await read(count_only=True) == ([], False, 6)
    found = await etcd.range(b"k", b"l", keys_only=True, sort_target="VALUE", sort_order="DESCEND")
    assert keys(found)[0] == b"k1" and not any(kv.value for kv in found.kvs)


async def test_a_range_is_one_revision_whatever_comes_between(
    etcd: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "PAGE_KEYS", 1)
    await fill(etcd)
    reading = asyncio.create_task(etcd.range(b"k", b"l"))
    writing = asyncio.create_task(etcd.put(b"k5", b"late"))
    found, written = await asyncio.gather(reading, writing)
    assert found.count == 6
    late = found.header.revision >= written.header.revision
    assert found.kvs[-1].value == (b"late" if late else b"2")
