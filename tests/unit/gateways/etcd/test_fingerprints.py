"""Hashes of the keys at a revision."""

from __future__ import annotations

import pytest

from coordinator.gateways.etcd import fingerprints
from tests.unit.gateways.etcd.conftest import Etcd


@pytest.mark.parametrize("batches", [1, 3, 256])
async def test_going_back_comes_to_what_was_there(
    etcd: Etcd, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "BATCHES", batches)
    node = etcd.node
    seen = []
    for number in range(7):
        await etcd.put(b"k%d" % (number % 3), b"%d" % number)
        seen.append(await fingerprints.of_keys(node, 0))
    assert len({hash for hash, _ in seen}) == 7
    for hash, revision in seen:
        assert await fingerprints.of_keys(node, revision) == (hash, revision)
        await etcd.bus.settle()
        assert await fingerprints.of_keys(etcd.bus.nodes[0], revision) == (hash, revision)
