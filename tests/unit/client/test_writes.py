"""Writes without a number: as they come, and each with what is known of it."""

from __future__ import annotations

import pytest

from coordinator_client import OutcomeUnknown, aio
from tests.unit.client import ledger as say
from tests.unit.client.ledger import Ledger
from tests.unit.client.scripted import scripted
from tests.unit.client.stage import Stage


async def test_without_numbers_there_is_no_session_and_nothing_is_sent_twice() -> None:
    ledger = Ledger()
    async with scripted() as server:
        ledger.serve(server)
        async with aio.connect(server.endpoint, numbered_writes=False) as client:
            await client.put("/a")
            ledger.answers.append(say.no_leader)
            await client.put("/b")
            ledger.answers.append(say.lost)
            with pytest.raises(OutcomeUnknown):
                await client.put("/c")
    assert ledger.puts == [("/a", 0, 0, 0), ("/b", 0, 0, 0), ("/b", 0, 0, 0), ("/c", 0, 0, 0)]
    assert (ledger.opened, ledger.closed) == ([], [])


async def test_registering_needs_no_session_for_its_writes(stage: Stage) -> None:
    async with (
        aio.connect(stage.addresses) as client,
        client.register("pay", "127.0.0.1", 80),
        aio.connect(stage.addresses) as other,
    ):
        assert len(await other.sessions()) == 1
