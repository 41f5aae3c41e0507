"""What a program reports counts for the TTL of the check, and only changes are written."""

from __future__ import annotations

import asyncio
import threading

import pytest

import coordinator_client
from coordinator_client import (
    CheckResult,
    Closed,
    InvalidArgument,
    TcpCheck,
    TtlCheck,
    Unavailable,
    aio,
)
from tests.unit.client.stage import Stage

KEY = "/services/pay/checks/i-1/loop"
CHECKS = {"loop": TtlCheck(10), "tcp": TcpCheck()}
WAIT_S = 10


async def results(client: aio.Client) -> dict[str, CheckResult]:
    (found,) = await client.instances("pay")
    return dict(found.checks)


async def test_reports_are_seen_and_only_changes_written(client: aio.Client) -> None:
    async with client.register("pay", "127.0.0.1", 80, id="i-1", checks=CHECKS) as mine:
        assert (await results(client))["loop"] == CheckResult("critical", "nothing is reported")
        await mine.report("loop", note="all is well")
        assert (await results(client))["loop"] == CheckResult("passing", "all is well")
        before = await client.get(KEY)
        assert before is not None and mine.session is not None
        for _ in range(3):
            await mine.report("loop", note="all is well")
        assert await client.get(KEY) == before, "kept alive, not written"
        assert before.session not in (0, mine.session.id)
        record = await client.get_session(before.session)
        assert record.ttl_s == 10 and record.metadata["check"] == "loop"
        await mine.report("loop", "warning", "slow")
        (found,) = await client.instances("pay")
        assert (found.checks["loop"].status, found.state.status) == ("warning", "starting")
    assert await client.get(KEY) is None and not await client.instances("pay")


@pytest.mark.full
async def test_reports_keep_a_result_for_longer_than_its_ttl(client: aio.Client) -> None:
    checks = {"loop": TtlCheck(1.5)}
    async with client.register("pay", "127.0.0.1", 80, id="i-1", checks=checks) as mine:
        await mine.report("loop")
        before = await client.get(KEY)
        for _ in range(8):
            await asyncio.sleep(0.3)
            await mine.report("loop")
        assert before is not None and await client.get(KEY) == before


@pytest.mark.full
async def test_silence_is_critical_and_the_next_report_mends_it(client: aio.Client) -> None:
    checks = {"loop": TtlCheck(0.5)}
    async with (
        client.register("pay", "127.0.0.1", 80, id="i-1", checks=checks) as mine,
        client.discover("pay", healthy=True) as view,
    ):
        for _ in range(2):
            changes = view.changes()
            await mine.report("loop")
            assert (await changes.next(WAIT_S)).type is aio.ChangeType.ADDED
            assert (await changes.next(WAIT_S)).type is aio.ChangeType.REMOVED
            (found,) = await client.instances("pay")
            assert (found.state.status, found.state.note) == (
                "critical",
                "loop: nothing is reported",
            )


async def test_a_session_that_somebody_ended_is_opened_again(client: aio.Client) -> None:
    async with client.register("pay", "127.0.0.1", 80, id="i-1", checks=CHECKS) as mine:
        await mine.report("loop")
        kv = await client.get(KEY)
        assert kv is not None
        await client.close_session(kv.session)
        await mine.report("loop")
        again = await client.get(KEY)
        assert again is not None and again.session != kv.session


async def test_a_result_that_somebody_deleted_is_written_again(client: aio.Client) -> None:
    async with client.register("pay", "127.0.0.1", 80, id="i-1", checks=CHECKS) as mine:
        await mine.report("loop")
        before = await client.get(KEY)
        await client.delete(KEY)
        await mine.report("loop")
        after = await client.get(KEY)
        assert before is not None and after is not None and after.session == before.session


async def test_a_report_outlives_the_session_of_the_registration(client: aio.Client) -> None:
    checks = {"loop": TtlCheck(5)}
    async with client.register("pay", "127.0.0.1", 80, id="i-1", checks=checks, ttl=0.6) as mine:
        await mine.report("loop")
        first = mine.session
        assert first is not None
        await client.close_session(first.id)
        assert await first.lost.wait(WAIT_S) and await mine.wait_registered(WAIT_S)
        assert (await results(client))["loop"].status == "passing"


@pytest.mark.full
async def test_a_report_finds_a_node_or_says_that_it_did_not(stage: Stage) -> None:
    async with (
        aio.connect(stage.addresses, shuffle=False, timeout_s=1) as client,
        client.register(
            "pay", "127.0.0.1", 80, id="i-1", checks={"loop": TtlCheck(30)}, disconnect_grace=None
        ) as mine,
    ):
        await mine.report("loop")
        await stage.stop_front(0)
        await mine.report("loop", "critical")
        assert (await results(client))["loop"].status == "critical"
        for node in (1, 2):
            await stage.stop_front(node)
        with pytest.raises(Unavailable):
            await mine.report("loop")
        for node in range(3):
            await stage.start_front(node)
        await mine.report("loop")
        assert (await results(client))["loop"].status == "passing"


async def test_what_can_not_be_reported(client: aio.Client) -> None:
    mine = client.register("pay", "127.0.0.1", 80, id="i-1", checks=CHECKS)
    with pytest.raises(Closed):
        await mine.report("loop")
    async with mine:
        for name in ("tcp", "other", "", None):
            with pytest.raises(InvalidArgument, match="check"):
                await mine.report(name)  # type: ignore[arg-type]  # None is what is tested
        for status, note in (("starting", ""), ("bad", ""), ("passing", "x" * 5000)):
            with pytest.raises(InvalidArgument):
                await mine.report("loop", status, note)
        assert await client.get(KEY) is None
    with pytest.raises(Closed):
        await mine.report("loop")


def test_threads_may_report_at_the_same_time(blocking: coordinator_client.Client) -> None:
    failed: list[Exception] = []
    with blocking.register("pay", "127.0.0.1", 80, id="i-1", checks={"loop": TtlCheck(30)}) as mine:

        def report(status: str) -> None:
            try:
                for _ in range(5):
                    mine.report("loop", status)
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=report, args=(s,)) for s in ("passing", "warning") * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        owners = [s for s in blocking.sessions() if s.metadata.get("check") == "loop"]
        assert len(owners) == 1 and owners[0].key_count == 1


async def test_checks_stand_in_the_definition(client: aio.Client) -> None:
    async with client.register("pay", "127.0.0.1", 80, id="i-1", checks=CHECKS) as mine:
        (found,) = await client.instances("pay")
        assert found.check_definitions == mine.instance.check_definitions
        assert found.check_definitions["loop"] == {"kind": "ttl", "ttl_ms": 10_000}
        assert not found.healthy and found.checks["tcp"].status == "starting"
    with pytest.raises(InvalidArgument, match="check"):
        client.register("pay", "127.0.0.1", 80, checks={"a b": TcpCheck()})
    with pytest.raises(InvalidArgument, match="32 checks"):
        client.register("pay", "127.0.0.1", 80, checks={str(n): TcpCheck() for n in range(33)})
