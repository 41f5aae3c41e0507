"""Ranges of etcd's API: an answer is always whole, so it is read in pages that let others have their turn."""

from __future__ import annotations

import asyncio
from heapq import merge

from coordinator.errors import Status
from coordinator.gateways.etcd import errors
from coordinator.gateways.etcd.errors import EtcdError
from coordinator.gateways.etcd.pb import kv_pb2
from coordinator.gateways.etcd.render import key_value
from coordinator.node.interface import Node
from coordinator.state.commands import Range
from coordinator.state.model import KeyValue
from coordinator.state.results import Code, Failure, RangeResult
from coordinator.state.view import (
    PROPERTIES,
    arrange,
    passes,
    selects,
    size_of,
    sorts,
    without_value,
)

PAGE_SIZE_BYTES = 256 * 1024
PAGE_KEYS = 1_000
RUN_KEYS = 10_000
"""Keys that are sorted at once."""
ATTEMPTS = 3
"""How often a range of what is newest begins again when history is compacted under its hands."""


async def read(node: Node, query: Range) -> tuple[RangeResult, int]:
    """Returns what a range selects, and the revision of the store when it began. Raises EtcdError."""
    for _ in range(ATTEMPTS):
        revision = node.state.revision
        try:
            return await _read(node, query, query.revision or revision), revision
        except _Compacted:
            if query.revision:
                break
    raise errors.compacted()


class _Compacted(Exception):
    """History was compacted beyond the revision that is being read."""


async def _read(node: Node, query: Range, revision: int) -> RangeResult:
    count = _page(node, Range(query.selector, revision, count_only=True)).count
    if query.count_only:
        return RangeResult((), count=count)
    # What is sorted or sifted is read whole.
    wanted = count if selects(query) or not query.limit else min(query.limit, count)
    kvs: list[KeyValue] = []
    size, size_max = 0, node.limits.etcd_reply_size_bytes_max
    start = b""
    while wanted > 0:
        page = _page(
            node,
            Range(query.selector, revision, limit=min(wanted, PAGE_KEYS), start_after=start),
        )
        wanted -= len(page.kvs)
        for kv in page.kvs:
            if passes(kv, query):
                kvs.append(kv)
                size += size_of(kv) - (len(kv.value) if query.keys_only else 0)
        if size > size_max:
            raise EtcdError(
                Status.RESOURCE_EXHAUSTED,
                f"the reply is larger than {size_max} bytes; set a limit, and read in parts",
                "REPLY_TOO_LARGE",
            )
        if not page.more or not page.kvs:
            break
        start = page.kvs[-1].key
        await asyncio.sleep(0)
    found = len(kvs) if selects(query) else count
    kvs = await _arranged(kvs, query)
    if query.keys_only:
        kvs = [without_value(kv) for kv in kvs]
    return RangeResult(tuple(kvs), more=len(kvs) < found, count=count)


async def _arranged(kvs: list[KeyValue], query: Range) -> list[KeyValue]:
    """Returns keys in the order of a range, up to its limit; many are sorted in runs, which are merged."""
    limit = query.limit or len(kvs)
    if len(kvs) <= RUN_KEYS or not sorts(query):
        arrange(kvs, query)
        return kvs[:limit]
    runs = [kvs[start : start + RUN_KEYS] for start in range(0, len(kvs), RUN_KEYS)]
    for run in runs:
        arrange(run, query)
        await asyncio.sleep(0)
    merged: list[KeyValue] = []
    for kv in merge(*runs, key=PROPERTIES[query.order], reverse=query.descending):
        if len(merged) == limit:
            break
        merged.append(kv)
        if len(merged) % PAGE_KEYS == 0:
            await asyncio.sleep(0)
    return merged


async def encode(result: RangeResult) -> list[bytes]:
    """Returns the keys of a result as serialized messages of a response, made in turns with others."""
    parts = []
    for start in range(0, len(result.kvs), PAGE_KEYS):
        page = [key_value(kv) for kv in result.kvs[start : start + PAGE_KEYS]]
        parts.append(kv_pb2.RangeResponse(kvs=page).SerializeToString())
        if len(parts) > 1:
            await asyncio.sleep(0)
    return parts


def _page(node: Node, query: Range) -> RangeResult:
    result = node.state.range(query, size_bytes_max=PAGE_SIZE_BYTES)
    if not isinstance(result, Failure):
        return result
    if result.code is Code.COMPACTED:
        raise _Compacted
    raise errors.error(result)
