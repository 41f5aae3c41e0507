"""A hash of the keys at a revision, the same on every member that has it."""

from __future__ import annotations

import asyncio

import xxhash

from coordinator.gateways.etcd import errors
from coordinator.node.interface import Node
from coordinator.state.results import Failure
from coordinator.state.tally import hash_of

BATCHES = 256
"""Of history that are looked at before others have their turn."""


async def of_keys(node: Node, revision: int) -> tuple[int, int]:
    """Returns a hash of 32 bits, and the revision, which is the newest one for 0. Raises EtcdError."""
    state = node.state
    if revision <= 0:
        revision = state.revision
    if revision > state.revision:
        raise errors.future_revision()
    # Goes back from the keys as they are, over what changed since, and may change meanwhile.
    changed, at = 0, revision
    while at < state.revision:
        batches = state.batches(at + 1, BATCHES)
        if isinstance(batches, Failure):
            raise errors.compacted()
        for batch in batches:
            for event in batch.events:
                changed += 0 if event.kv is None else hash_of(event.kv)
                changed -= 0 if event.prev is None else hash_of(event.prev)
        at = batches[-1].revision
        if at < state.revision:
            await asyncio.sleep(0)
    if revision < state.compacted_revision:
        raise errors.compacted()
    hash = (state.hash_of_keys - changed) % (1 << 128)
    return xxhash.xxh32_intdigest(hash.to_bytes(16, "big")), revision
