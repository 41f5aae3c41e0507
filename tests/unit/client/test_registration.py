from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from coordinator_client import Closed, SessionLost, Unavailable, aio
from tests.unit.client.stage import Stage

WAIT_S = 10
DEFINITION, STATE = "/services/pay/instances/i-1", "/services/pay/state/i-1"


async def test_it_writes_both_keys_under_one_session_in_one_revision(client: aio.Client) -> None:
    async with client.register("pay", "127.0.0.1", 80, id="i-1", metadata={"k": "v"}) as mine:
        assert mine.registered and mine.session is not None
        found = await client.range("/services/pay/", prefix=True)
        assert [kv.name for kv in found.kvs] == [DEFINITION, STATE]
        assert {kv.session for kv in found.kvs} == {mine.session.id}
        assert len({kv.mod_revision for kv in found.kvs}) == 1
        assert json.loads(found.kvs[0].value) == {
            "id": "i-1", "service": "pay", "address": "127.0.0.1", "port": 80, "metadata": {"k": "v"},
        }  # fmt: skip
        assert json.loads(found.kvs[1].value) == {"state": "passing"}
        assert mine.instance == (await client.instances("pay"))[0]
        record = await client.get_session(mine.session.id)
        assert record.metadata == {"service": "pay", "instance": "i-1"}
    assert not mine.registered
    assert (await client.range("/services/", prefix=True)).count == 0


@pytest.mark.parametrize(
    ("settings", "grace_s"),
    [
        ({}, 1.0),
        ({"disconnect_grace": None}, None),
        ({"disconnect_grace": 0.25}, 0.25),
        ({"ttl": 0.6}, 0.6),
    ],
)
async def test_it_goes_soon_after_its_program(
    client: aio.Client, settings: dict[str, Any], grace_s: float | None
) -> None:
    async with client.register("pay", "127.0.0.1", 80, id="i-1", **settings) as mine:
        assert mine.session is not None
        record = await client.get_session(mine.session.id)
        assert record.disconnect_grace_s == grace_s


async def test_it_registers_again_after_a_lost_session(client: aio.Client) -> None:
    async with (
        client.discover("pay") as view,
        client.register("pay", "127.0.0.1", 80, id="i-1", ttl=2.0) as mine,
    ):
        changes = view.changes()
        for _ in range(2):
            assert (await changes.next(WAIT_S)).type.value == "added"
            # Who watches may hear of it before the one that registered does.
            assert await mine.wait_registered(WAIT_S)
            assert mine.session is not None
            await client.close_session(mine.session.id)
            assert (await changes.next(WAIT_S)).type.value == "removed"
        assert (await changes.next(WAIT_S)).type.value == "added"
        assert await mine.wait_registered(WAIT_S)
        assert mine.registered
        assert mine.instance == (await client.instances("pay"))[0]


async def test_it_comes_back_after_all_nodes_were_away(stage: Stage, client: aio.Client) -> None:
    async with client.register("pay", "127.0.0.1", 80, id="i-1", ttl=0.6) as mine:
        first = mine.session
        assert first is not None
        for node in range(3):
            await stage.stop_front(node)
        assert await first.lost.wait(WAIT_S)
        assert not mine.registered
        for node in range(3):
            await stage.start_front(node)
        assert await mine.wait_registered(WAIT_S)
        assert mine.session is not first
        (found,) = await client.instances("pay")
        assert mine.session is not None and found.session == mine.session.id


async def test_its_state_can_be_set(client: aio.Client) -> None:
    async with client.register("pay", "127.0.0.1", 80, id="i-1") as mine:
        await mine.set_state("critical", "no disk")
        (found,) = await client.instances("pay")
        assert (found.state.status, found.state.note, found.passing) == (
            "critical",
            "no disk",
            False,
        )
        assert mine.instance.state == found.state


async def test_a_state_that_an_operator_set_survives_a_new_session(client: aio.Client) -> None:
    async with client.register("pay", "127.0.0.1", 80, id="i-1", ttl=0.6) as mine:
        # The operator's key belongs to no session, so it is still there when the first one is gone.
        await client.put(STATE, '{"state":"maintenance"}')
        assert mine.session is not None
        first = mine.session
        await client.close_session(first.id)
        assert await first.lost.wait(WAIT_S)
        assert await mine.wait_registered(WAIT_S)
        (found,) = await client.instances("pay")
        assert found.state.status == "maintenance"
        state = await client.get(STATE)
        assert state is not None and mine.session is not first
        assert state.session == mine.session.id
    assert await client.get(STATE) is None


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({"state": "critical", "note": "kept", "guarded": True}, {"state": "warning", "note": "w"}),
        (
            {"state": "maintenance", "note": "disk", "guarded": True},
            {"state": "maintenance", "note": "disk"},
        ),
        ({"state": "draining", "guarded": True}, {"state": "draining"}),
        ({"state": "critical", "note": "by hand"}, {"state": "critical", "note": "by hand"}),
    ],
    ids=["guarded", "maintenance", "draining", "not-guarded"],
)
async def test_what_the_cluster_kept_is_taken_back(
    client: aio.Client, found: dict[str, Any], wanted: dict[str, Any]
) -> None:
    async with client.register("pay", "127.0.0.1", 80, id="i-1", ttl=0.6) as mine:
        await mine.set_state("warning", "w")
        assert mine.session is not None
        first = mine.session
        # As a guard leaves it: both keys belong to another session.
        async with client.session(5) as heir:
            await heir.put(DEFINITION, mine.instance.to_json())
            await heir.put(STATE, json.dumps(found))
            await client.close_session(first.id)
            assert await first.lost.wait(WAIT_S)
            assert await mine.wait_registered(WAIT_S)
        state, definition = await client.get(STATE), await client.get(DEFINITION)
        assert state is not None and definition is not None
        assert json.loads(state.value) == wanted
        assert state.session == definition.session == mine.session.id


async def test_a_restarted_program_takes_over_its_id(client: aio.Client) -> None:
    old = await client.register("pay", "127.0.0.1", 80, id="i-1").open()
    await old.set_state("critical")
    async with client.register("pay", "127.0.0.1", 81, id="i-1") as new:
        await old.close()
        (found,) = await client.instances("pay")
        assert (found.port, found.state.status) == (81, "passing")
        assert found.session == (new.session.id if new.session else 0)


async def test_opening_and_closing(stage: Stage, client: aio.Client) -> None:
    mine = client.register("pay", "127.0.0.1", 80)
    assert not mine.registered and mine.session is None
    with pytest.raises(Closed):
        await mine.set_state("passing")
    await mine.open()
    with pytest.raises(Closed):
        await mine.open()
    await mine.close()
    await mine.close()
    with pytest.raises(Closed):
        await mine.set_state("passing")
    never = client.register("pay", "127.0.0.1", 80)
    await never.close()
    with pytest.raises(Closed):
        await never.open()
    async with aio.connect("127.0.0.1:1", timeout_s=0.2) as lonely:
        with pytest.raises(Unavailable):
            await lonely.register("pay", "127.0.0.1", 80).open()


async def test_a_state_set_while_the_session_is_lost_is_told_later(
    stage: Stage, client: aio.Client
) -> None:
    async with client.register("pay", "127.0.0.1", 80, id="i-1", ttl=0.6) as mine:
        assert mine.session is not None
        session = mine.session
        for node in range(3):
            await stage.stop_front(node)
        assert await session.lost.wait(WAIT_S)
        with pytest.raises(SessionLost):
            await mine.set_state("warning")
        # Long enough for the cluster to end the session too.
        await asyncio.sleep(0.7)
        for node in range(3):
            await stage.start_front(node)
        assert await mine.wait_registered(WAIT_S)
        (found,) = await client.instances("pay")
        assert found.state.status == "warning"


async def test_it_ends_with_its_client(stage: Stage) -> None:
    client = await aio.connect(stage.addresses)
    mine = await client.register("pay", "127.0.0.1", 80, ttl=0.5).open()
    await client.close()
    assert mine.session is not None
    assert await mine.session.lost.wait(WAIT_S)
    await mine.close()


async def test_a_state_that_was_set_without_a_session_is_written_with_the_next(
    client: aio.Client,
) -> None:
    async with client.register("pay", "127.0.0.1", 80, id="i-1") as mine:
        assert mine.session is not None
        # The cluster does not know of it yet, and still has the key.
        mine.session.declare_lost("nobody confirmed it in time")
        with pytest.raises(SessionLost):
            await mine.set_state("critical", "no database")
        assert await mine.wait_registered(WAIT_S)
        (instance,) = await client.instances("pay")
        assert (instance.state.status, instance.state.note) == ("critical", "no database")


async def test_a_drain_that_is_cancelled_deregisters_at_once(client: aio.Client) -> None:
    mine = await client.register("pay", "127.0.0.1", 80, id="i-1", drain=60).open()
    closing = asyncio.create_task(mine.close())
    while (await client.instances("pay"))[0].state.status != "draining":
        await asyncio.sleep(0.01)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert await client.instances("pay") == ()
