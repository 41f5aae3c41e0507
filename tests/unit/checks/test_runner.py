"""Checks are run by one node, written when something changed, and go on elsewhere when that node is gone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from coordinator.checks.slots import SLOTS, slot_key, slot_of
from coordinator.node.watches import Filter
from coordinator.state.commands import DeleteRange, Put, Selector
from coordinator.state.model import Cause, Event
from tests.unit.checks.stage import FAST, LIMITS, SESSION, stage, target

TCP = {"kind": "tcp", "failures_before_critical": 1} | FAST
RESULT = b"/services/pay/checks/i/tcp"


async def test_a_target_that_goes_bad_and_recovers_is_seen_to() -> None:
    async with stage() as on, target() as aim:
        await on.register("i", aim.port, tcp=TCP)
        await on.wait_status("i", "passing")
        instance = on.instance("i")
        assert instance is not None and instance.checks["tcp"].status == "passing"
        await aim.shut()
        await on.wait_status("i", "critical")
        assert on.note("i") == f"tcp: 127.0.0.1:{aim.port}: Connection refused"
        await aim.open()
        await on.wait_status("i", "passing")


async def test_only_changes_are_written_and_under_the_session_of_the_instance() -> None:
    async with stage() as on, target() as aim:
        await on.register("i", aim.port, tcp=TCP)
        await on.wait_status("i", "passing")
        revision, asked = on.revision(), aim.asked
        await on.wait(lambda: aim.asked > asked + 5)
        assert on.revision() == revision
        assert RESULT in on.bus.nodes[0].state.session_keys(SESSION)


async def test_a_cluster_without_checks_is_left_in_peace() -> None:
    async with stage("abc") as on, target() as aim:
        await on.register("i", aim.port)
        await on.bus.settle()
        assert on.owners() == {} and on.bus.nodes[0].state.session_count == 1
        await on.register("j", aim.port, tcp=TCP)
        await on.wait_status("j", "passing")
        await on.wait(lambda: len(on.owners()) == SLOTS)
        await on.propose(DeleteRange(Selector(b"/services/pay/instances/j")))
        await on.wait(lambda: on.owners() == {})
        await on.wait(lambda: on.bus.nodes[0].state.session_count == 1)


async def test_the_work_is_spread_and_moves_when_a_node_is_gone() -> None:
    async with stage("abc") as on, target() as aim:
        for n in range(20):
            await on.register(f"i{n}", aim.port, tcp=TCP)
        await on.wait(lambda: len(on.owners()) == SLOTS and len(set(on.owners().values())) == 3)
        for n in range(20):
            await on.wait_status(f"i{n}", "passing")
        gone = on.members.pop()
        before = {slot for slot, name in on.owners().items() if name != "c"}
        await gone.stop()
        await on.wait(lambda: len(on.owners()) == SLOTS and set(on.owners().values()) == {"a", "b"})
        await aim.shut()
        for n in range(20):
            await on.wait_status(f"i{n}", "critical")
        assert len(before) < SLOTS


@pytest.mark.full
async def test_a_node_that_is_cut_off_stops_and_others_take_over() -> None:
    async with stage("abc", ttl_ms=500) as on, target() as aim:
        await on.register("i", aim.port, tcp=TCP)
        await on.wait_status("i", "passing")
        slot = slot_of("pay", "i")
        await on.wait(lambda: len(on.owners()) == SLOTS)
        name = on.owners()[slot]
        cut = "abc".index(name)
        if cut == 0:
            # The one that is cut off must not lead.
            on.bus.elect(2)
        for other in range(1, 4):
            on.bus.cut |= {(cut + 1, other), (other, cut + 1)}
        on.bus.behind.add(cut + 1)
        reader = on.members[(cut + 1) % 3].catalog
        await on.wait(lambda: not on.members[cut].runner.slots)
        await on.wait(
            lambda: all(on.members[i].node.state.session_count == 3 for i in range(3) if i != cut)
        )
        await aim.shut()
        await on.wait(lambda: (i := reader.instance("pay", "i")) is not None and not i.healthy)
        on.bus.cut.clear()
        on.bus.behind.clear()
        on.bus.commit()


async def test_an_old_owner_writes_nothing() -> None:
    async with stage() as on, target() as aim:
        await on.register("i", aim.port, tcp=TCP)
        await on.wait_status("i", "passing")
        # Somebody else holds the slot, and this node has not applied that yet.
        on.bus.held = True
        key = slot_key(slot_of("pay", "i"))
        taking = asyncio.create_task(on.propose(Put(key, b"x", SESSION)))
        await on.bus.settle()
        await aim.shut()
        asked = len(on.bus.log)
        await on.wait(lambda: len(on.bus.log) > asked)
        on.bus.held = False
        on.bus.commit()
        await taking
        await on.bus.settle()
        assert on.owners()[slot_of("pay", "i")] == "x"
        for _ in range(20):
            await asyncio.sleep(0.005)
            assert on.status("i") == "passing"


@pytest.mark.parametrize("check", [TCP, {"kind": "ttl", "ttl_ms": 500}], ids=["tcp", "ttl"])
async def test_an_instance_whose_check_fails_for_too_long_is_removed(check: dict[str, Any]) -> None:
    async with stage() as on, target() as aim:
        await aim.shut()
        stream = on.bus.nodes[0].open_watch_stream()
        stream.create(1, Filter(Selector(b"/services/pay/instances/i")), on.revision() + 1)
        await on.register("i", aim.port, tcp=check | {"deregister_critical_after_ms": 100})
        await on.wait_status("i", "critical")
        await on.wait_status("i", None)
        assert on.bus.nodes[0].state.session_keys(SESSION) == ()
        events: list[Event] = []
        while (taken := stream.take()) is not None:
            assert isinstance(taken[1], list)
            events += [e for batch in taken[1] for e in batch.events]
        assert [e.cause for e in events if e.kv is None] == [Cause.CHECK_FAILED]
        stream.close()


async def test_a_removal_is_called_off_when_the_check_passes_again() -> None:
    async with stage() as on, target() as aim:
        await aim.shut()
        await on.register("i", aim.port, tcp=TCP | {"deregister_critical_after_ms": 250})
        await on.wait_status("i", "critical")
        await aim.open()
        await on.wait_status("i", "passing")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await on.wait(lambda: loop.time() > began + 0.3)
        assert on.status("i") == "passing"


async def test_in_maintenance_an_instance_may_fail_for_as_long_as_its_operator_likes() -> None:
    async with stage() as on, target() as aim:
        await on.register("i", aim.port, tcp=TCP | {"deregister_critical_after_ms": 200})
        state = b"/services/pay/state/i"
        await on.propose(Put(state, b'{"state": "maintenance"}', SESSION))
        await on.wait_status("i", "maintenance")
        await aim.shut()
        await on.wait(
            lambda: (i := on.instance("i")) is not None and i.checks["tcp"].status == "critical"
        )
        loop = asyncio.get_running_loop()
        began = loop.time()
        await on.wait(lambda: loop.time() > began + 0.4)
        assert on.status("i") == "maintenance"
        watched = on.members[0].runner._running["pay", "i"]["tcp"]
        await on.members[0].runner._remove(watched)
        assert on.status("i") == "maintenance"
        await on.propose(Put(state, b'{"state": "passing"}', SESSION))
        await on.wait_status("i", None)


async def test_a_removal_that_is_on_its_way_is_void_once_the_operator_speaks() -> None:
    async with stage() as on, target() as aim:
        await on.register("i", aim.port, tcp=TCP | {"deregister_critical_after_ms": 60_000})
        await aim.shut()
        await on.wait_status("i", "critical")
        runner = on.members[0].runner
        watched = runner._running["pay", "i"]["tcp"]
        word = Put(b"/services/pay/state/i", b'{"state": "maintenance"}', SESSION)
        await asyncio.gather(on.propose(word), runner._remove(watched))
        await on.bus.settle()
        await on.wait(lambda: on.status("i") != "critical")
        assert on.status("i") == "maintenance"


async def test_a_removal_that_what_readers_see_does_not_bear_out_is_not_made() -> None:
    async with stage() as on, target() as aim:
        await on.register("i", aim.port, tcp=TCP | {"deregister_critical_after_ms": 60_000})
        await on.wait_status("i", "passing")
        runner = on.members[0].runner
        watched = runner._running["pay", "i"]["tcp"]
        # It was due a moment ago, and the runner has not looked at the news yet.
        await runner._remove(watched)
        await on.bus.settle()
        assert on.status("i") == "passing"
        await aim.shut()
        await on.wait_status("i", "critical")
        await on.register("i", aim.port + 1, tcp=TCP | {"initial": "critical"})
        await on.wait(lambda: (i := on.instance("i")) is not None and i.port == aim.port + 1)
        await runner._remove(watched)
        await on.bus.settle()
        assert on.status("i") == "critical"


async def test_nothing_is_removed_for_a_limit_of_the_cluster() -> None:
    limits = replace(LIMITS, checks_max=1)
    async with stage(limits=limits) as on, target() as aim:
        await on.register("i", aim.port, a=TCP)
        await on.wait_status("i", "passing")
        await on.register("j", aim.port, a=TCP | {"deregister_critical_after_ms": 1})
        await on.wait_status("j", "critical")
        runner = on.members[0].runner
        await runner._remove(runner._running["pay", "j"]["a"])
        await on.bus.settle()
        assert on.status("j") == "critical"


async def test_a_run_that_is_overtaken_counts_for_nothing() -> None:
    async with stage() as on, target() as aim:
        await on.register("i", aim.port, tcp=TCP | {"interval_ms": 60_000})
        await on.wait_status("i", "passing")
        runner = on.members[0].runner
        watched = runner._running["pay", "i"]["tcp"]
        runner._turns.ask(watched, False)
        assert runner._turns.next() is watched
        await on.propose(DeleteRange(Selector(b"/services/pay/instances/i")))
        await on.wait(lambda: watched.gone)
        await runner._run(watched)
        assert runner._admitted == {} and runner._admitted_count == 0


async def test_what_is_held_already_is_not_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stage() as on, target() as aim:
        await on.register("i", aim.port, tcp=TCP)
        await on.wait(lambda: len(on.owners()) == SLOTS)
        await on.wait_status("i", "passing")
        await on.bus.settle()
        runner = on.members[0].runner
        other = (slot_of("pay", "i") + 1) % SLOTS
        looked: list[tuple[str, str]] = []
        monkeypatch.setattr(runner, "_look", looked.append)
        revision = runner._holdings.held[other]
        await on.propose(DeleteRange(Selector(slot_key(other))))
        await on.wait(lambda: runner._holdings.held.get(other, revision) != revision)
        await on.bus.settle()
        assert looked == []


async def test_what_breaks_the_rules_is_critical_and_says_why() -> None:
    async with stage() as on, target() as aim:
        await on.register(
            "i", aim.port, tcp=TCP | {"interval_ms": "fast"}, ttl={"kind": "ttl"}, odd={"kind": [3]}
        )
        await on.wait_status("i", "critical")

        def notes() -> dict[str, str]:
            found = on.instance("i")
            return {} if found is None else {name: s.note for name, s in found.checks.items()}

        await on.wait(
            lambda: (
                notes()
                == {
                    "tcp": "interval_ms is not a whole number from 10 to 86400000",
                    "ttl": "ttl_ms is missing",
                    "odd": "kind is none of http, tcp, grpc, ttl",
                }
            )
        )
        await on.register("i", aim.port, tcp=TCP)
        await on.wait_status("i", "passing")


async def test_limits_are_told() -> None:
    limits = replace(LIMITS, checks_max=2, checks_per_instance_max=1)
    async with stage(limits=limits) as on, target() as aim:
        await on.register("i", aim.port, a=TCP, b=TCP)
        await on.wait_status("i", "critical")
        assert "checks_per_instance_max" in on.note("i") and on.note("i").startswith("b: ")
        await on.register("j", aim.port, a=TCP)
        await on.wait_status("j", "critical")
        assert "checks_max" in on.note("j")
        await on.propose(DeleteRange(Selector(b"/services/pay/instances/i")))
        await on.wait_status("j", "passing")


async def test_what_is_outside_of_the_networks_is_not_connected_to() -> None:
    async with stage(networks=("10.0.0.0/8", "::1/128")) as on, target() as aim:
        await on.register("i", aim.port, tcp=TCP, name=TCP | {"host": "127.0.0.1"})
        await on.wait_status("i", "critical")
        assert "outside of the networks" in on.note("i")
        assert aim.asked == 0


async def test_a_slow_target_holds_up_nobody() -> None:
    limits = replace(LIMITS, checks_concurrent_max=4)
    async with stage(limits=limits) as on, target() as aim, target(silent=True) as silent:
        slow = TCP | {"kind": "http", "timeout_ms": 20_000}
        await on.register("slow", silent.port, **{f"c{n}": slow for n in range(3)})
        await on.register("i", aim.port, tcp=TCP)
        await on.wait_status("i", "passing")
        asked = aim.asked
        await on.wait(lambda: aim.asked > asked + 5)
        assert on.status("slow") == "starting" and silent.asked > 0
