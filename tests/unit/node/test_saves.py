"""How many snapshots may be fetched at once, and what is said of each."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.config import Limits
from coordinator.errors import RequestError
from coordinator.state.commands import Put, Write
from tests.bus import Bus


async def test_each_is_told_with_its_revision_and_let_go() -> None:
    async with Bus("ab") as bus:
        node = bus.nodes[1]
        deadline = asyncio.get_running_loop().time() + 5
        for expected in (2, 3):
            await node.propose(Write(Put(b"k", b"")), deadline)
            async with node.save() as save:
                assert save.revision == expected
                assert save.file.index == node.consensus_status.applied_index
        assert [one.closed for one in bus.members[1].snapshots] == [True, True]


async def test_no_more_than_the_limit_at_once() -> None:
    async with Bus("ab", Limits(snapshot_saves_max=1)) as bus:
        node = bus.nodes[1]
        async with node.save():
            with pytest.raises(RequestError) as raised:
                async with node.save():
                    pass
            assert raised.value.reason == "LIMIT_EXCEEDED"
        async with node.save() as save:
            assert save.revision == 1
