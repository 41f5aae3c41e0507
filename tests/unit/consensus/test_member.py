"""Whole engines among each other: elections, replication, restarts, reads, snapshots."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path

import pysyncobj.pickle
import pytest

from coordinator.consensus.disk import LocalDisk
from coordinator.consensus.engine import pin
from coordinator.consensus.engine.member import Engine
from coordinator.consensus.interface import Role
from coordinator.errors import ConfigError, DamageError, FatalError
from tests.unit.consensus.cluster import Cluster
from tests.unit.consensus.sockets import free_peers, make_config
from tests.unit.consensus.stage import Stage
from tests.unit.consensus.toy import ToyApplication


async def test_entries_reach_all_members_in_one_order(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        leader = await cluster.leader()
        for number in range(50):
            await cluster.put(leader, b"%d" % number)
        assert await cluster.agreement() == [b"%d" % number for number in range(50)]
        assert [peer.name for peer in cluster.engines[1].members] == ["n1", "n2", "n3"]
        assert all(s.leader == leader for s in (e.status for e in cluster.engines.values()))
        assert not cluster.failures


async def test_only_a_leader_takes_proposals(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        leader = await cluster.leader()
        for member, engine in cluster.engines.items():
            assert (engine.propose(b"x") is None) == (member != leader)
        with pytest.raises(ValueError, match="too large"):
            cluster.engines[leader].propose(bytes(8 << 20))


async def test_the_application_is_told_who_leads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with Cluster(tmp_path) as cluster:
        leader = await cluster.leader()
        for member, application in cluster.applications.items():
            await cluster.until(lambda a=application: a.statuses[-1].leader == leader)  # type: ignore[misc]  # bound now
            assert (application.statuses[-1].role is Role.LEADER) == (member == leader)
            roles = [(s.role, s.term, s.leader) for s in application.statuses]
            assert all(one != two for one, two in itertools.pairwise(roles))
    assert "leader" not in caplog.text, "to say it to people is up to the application"


async def test_another_member_takes_over(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        first = await cluster.leader()
        await cluster.put(first, b"before")
        await cluster.stop(first)
        second = await cluster.leader()
        await cluster.put(second, b"between")
        await cluster.start(first)
        third = await cluster.leader()
        await cluster.put(third, b"after")
        assert await cluster.agreement() == [b"before", b"between", b"after"]


@pytest.mark.parametrize("silently", [True, False])
async def test_a_cut_off_leader_commits_and_confirms_nothing(
    tmp_path: Path, silently: bool
) -> None:
    async with Cluster(tmp_path) as cluster:
        old = await cluster.leader()
        await cluster.put(old, b"before")
        cluster.isolate(old, silently=silently)
        lost = cluster.engines[old].propose(b"lost")
        assert lost is not None
        read = asyncio.create_task(cluster.engines[old].read_barrier(0.5))
        confirmation = asyncio.create_task(cluster.engines[old].confirm(5.0))
        new = await cluster.leader(among={1, 2, 3} - {old})
        await cluster.put(new, b"after")
        assert await confirmation is None
        assert not await read
        assert cluster.engines[old].status.role is not Role.LEADER
        cluster.mend_all()
        await cluster.put(await cluster.leader(), b"healed")
        assert await cluster.agreement() == [b"before", b"after", b"healed"]
        assert not cluster.failures


async def test_a_restart_of_all_recovers_everything(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        leader = await cluster.leader()
        for number in range(20):
            await cluster.put(leader, b"%d" % number)
        before = await cluster.agreement()
        term = cluster.engines[leader].status.term
        for member in (1, 2, 3):
            await cluster.stop(member)
        for member in (1, 2, 3):
            await cluster.start(member)
        leader = await cluster.leader()
        assert cluster.engines[leader].status.term > term
        assert await cluster.engines[leader].read_barrier(10)
        assert await cluster.agreement() == before


async def test_a_power_failure_of_all_loses_nothing_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(1)
    async with Cluster(tmp_path) as cluster:
        done: list[bytes] = []
        for round_ in range(3):
            leader = await cluster.leader()
            for number in range(5):
                await cluster.put(leader, content := b"%d.%d" % (round_, number))
                done.append(content)
            for number in range(5):
                cluster.engines[leader].propose(b"perhaps %d.%d" % (round_, number))
            for member in (1, 2, 3):
                await cluster.lose_power(member, chance)
            for member in (1, 2, 3):
                await cluster.start(member)
        leader = await cluster.leader()
        assert await cluster.engines[leader].read_barrier(10)
        found = await cluster.agreement()
        assert [content for content in found if not content.startswith(b"perhaps")] == done


async def test_a_power_failure_does_not_forget_a_vote(tmp_path: Path) -> None:
    """No two leaders in one term, even if the voter restarts in between."""
    chance = random.Random(2)
    async with Cluster(tmp_path) as cluster:
        leaders: dict[int, int] = {}
        for _ in range(4):
            leader = await cluster.leader()
            term = cluster.engines[leader].status.term
            assert leaders.setdefault(term, leader) == leader
            voter = next(member for member in (1, 2, 3) if member != leader)
            await cluster.lose_power(voter, chance)
            await cluster.stop(leader)
            await cluster.start(voter)
            await cluster.start(leader)


async def test_reads_see_what_was_committed_before_on_every_member(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        leader = await cluster.leader()
        for number in range(30):
            await cluster.put(leader, content := b"%d" % number)
            reader = number % 3 + 1
            assert await cluster.engines[reader].read_barrier(10)
            assert cluster.applications[reader].contents[-1] == content
        assert await cluster.engines[leader].confirm(10) == cluster.engines[leader].status.term
        for member, engine in cluster.engines.items():
            if member != leader:
                assert await engine.confirm(10) is None


async def test_a_slow_disk_of_the_leader_does_not_stop_the_others(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        leader = await cluster.leader()
        await cluster.put(leader, b"a")
        cluster.disks[leader].hold_syncs()
        await cluster.put(leader, b"b")
        follower = next(member for member in (1, 2, 3) if member != leader)
        cluster.isolate(follower, silently=False)
        index = cluster.engines[leader].propose(b"c")
        assert index is not None
        other = next(member for member in (1, 2, 3) if member not in (leader, follower))
        await cluster.until(lambda: cluster.engines[other].status.last_index == index)
        await asyncio.sleep(0.1)
        assert cluster.engines[leader].status.commit_index == index - 1
        cluster.disks[leader].release_syncs()
        await cluster.until(lambda: cluster.engines[leader].status.commit_index == index)
        cluster.mend_all()
        assert await cluster.agreement() == [b"a", b"b", b"c"]


async def test_a_failing_disk_stops_a_member_and_the_others_go_on(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        leader = await cluster.leader()
        await cluster.put(leader, b"a")
        cluster.disks[leader].sync_error = OSError(5, "Input/output error")
        cluster.engines[leader].propose(b"b")
        await cluster.until(lambda: bool(cluster.failures))
        assert "Input/output error" in str(cluster.failures[0])
        assert cluster.engines[leader].propose(b"c") is None
        other = await cluster.leader(among={1, 2, 3} - {leader})
        await cluster.put(other, b"d")


async def test_a_member_far_behind_catches_up_by_snapshot(tmp_path: Path) -> None:
    async with Cluster(tmp_path, retained_entries=10) as cluster:
        leader = await cluster.leader()
        behind = next(member for member in (1, 2, 3) if member != leader)
        await cluster.put(leader, b"first")
        await cluster.stop(behind)
        for number in range(100):
            cluster.engines[leader].propose(b"%d" % number)
        await cluster.put(leader, b"last")
        assert await cluster.engines[leader].compact_now() > 50
        await cluster.put(leader, b"after")
        await cluster.start(behind)
        await cluster.until(lambda: bool(cluster.applications[behind].restored))
        contents = await cluster.agreement()
        assert contents[0] == b"first"
        assert contents[-2:] == [b"last", b"after"]
        await cluster.stop(behind)
        await cluster.start(behind)
        assert await cluster.agreement() == contents
        assert not cluster.failures


async def test_an_emptied_member_joins_again(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        leader = await cluster.leader()
        for number in range(20):
            await cluster.put(leader, b"%d" % number)
        member = next(member for member in (1, 2, 3) if member != leader)
        await cluster.stop(member)
        cluster.disks[member].files.clear()
        await cluster.start(member)
        assert len(await cluster.agreement()) == 20


async def test_five_members_survive_the_loss_of_two(tmp_path: Path) -> None:
    async with Cluster(tmp_path, 5) as cluster:
        for number in range(2):
            leader = await cluster.leader()
            await cluster.put(leader, b"%d" % number)
            await cluster.stop(leader)
        await cluster.put(await cluster.leader(), b"2")
        assert await cluster.agreement() == [b"0", b"1", b"2"]


async def test_a_single_member_needs_nobody(tmp_path: Path) -> None:
    async with Cluster(tmp_path, 1) as cluster:
        await cluster.until(lambda: cluster.leaders() == [1])
        await cluster.put(1, b"a")
        assert await cluster.engines[1].read_barrier(5)
        assert await cluster.engines[1].confirm(5) == 1
        await cluster.stop(1)
        await cluster.start(1)
        await cluster.until(lambda: cluster.leaders() == [1])
        assert await cluster.engines[1].read_barrier(5)
        assert cluster.applications[1].contents == [b"a"]


async def test_members_send_each_other_payloads(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        assert cluster.engines[1].connected(2)
        assert cluster.engines[1].client_address(2) == "client:2"
        assert cluster.engines[1].client_address(1) == "client:1"
        for number in range(10):
            assert cluster.engines[1].send(2, b"%d" % number)
        await cluster.until(lambda: len(cluster.applications[2].received) == 10)
        assert cluster.applications[2].received == [(1, b"%d" % number) for number in range(10)]
        cluster.network.part(1, 2)
        assert not cluster.engines[1].connected(2)
        assert not cluster.engines[1].send(2, b"x")
        assert cluster.applications[1].peers[-1] == (2, False)
        assert not cluster.engines[1].send(3, bytes(9 << 20))


async def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("something was unpickled")

    monkeypatch.setattr(pysyncobj.pickle, "loads", fail)
    monkeypatch.setattr(pysyncobj.pickle, "load", fail)
    monkeypatch.setattr("pickle.loads", fail)
    poison = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."
    async with Cluster(tmp_path, retained_entries=1) as cluster:
        leader = await cluster.leader()
        behind = next(member for member in (1, 2, 3) if member != leader)
        await cluster.stop(behind)
        for number in range(20):
            await cluster.put(leader, poison + b"%d" % number)
        await cluster.engines[leader].compact_now()
        await cluster.start(behind)
        await cluster.agreement()
        await cluster.stop(leader)
        await cluster.start(leader)
        await cluster.agreement()
        assert not cluster.failures


async def test_before_the_start_and_after_the_end_it_does_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    engine = stage.engine
    assert engine.status.last_index == 0
    assert not engine.busy
    await engine.stop()
    await stage.start()
    await stage.stop()
    await stage.stop()
    assert engine.propose(b"x") is None
    assert not engine.send(2, b"x")
    assert not engine.connected(2)
    assert await engine.compact_now() == 0


async def test_an_error_of_the_application_is_fatal_wherever_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken application")

    for name, method in enumerate(("leadership_changed", "ready_to_propose", "peer_changed")):
        stage = Stage(tmp_path / str(name))
        async with stage:
            monkeypatch.setattr(stage.application, method, fail)
            stage.connect(2)
            stage.append(2, 1, (1, 0), 1, (1, b"a"))
            await stage.settle()
            await stage.until(lambda s=stage: bool(s.failures))  # type: ignore[misc]  # bound now
            assert "broken application" in str(stage.failures[0])


# Over TCP, with files.


async def test_three_members_over_tcp_with_files(tmp_path: Path) -> None:
    peers = free_peers(3)
    applications = [ToyApplication() for _ in peers]

    def make(member: int) -> Engine:
        config = make_config(peers, member, data_dir=tmp_path / f"n{member}")
        return Engine(config, applications[member - 1])

    engines = [make(member) for member in (1, 2, 3)]
    for engine in engines:
        await engine.start()
    async with asyncio.timeout(20):
        while not (leading := [e for e in engines if e.status.role is Role.LEADER]):
            await asyncio.sleep(0.005)
        for number in range(50):
            while leading[0].propose(b"%d" % number) is None:
                await asyncio.sleep(0.005)
        while any(len(application.applied) < 50 for application in applications):
            await asyncio.sleep(0.005)
    assert leading[0].client_address(2) == "client:2"
    for engine in engines:
        assert await engine.read_barrier(10)
    for engine in engines:
        await engine.stop()
    assert len({tuple(application.applied) for application in applications}) == 1
    assert {"journal-0000000000000001", "identity.json", "lock"} <= set(
        LocalDisk(tmp_path / "n1").names()
    )


async def test_an_address_in_use_leaves_the_folder_free(tmp_path: Path) -> None:
    peers = free_peers(1)
    first = Engine(make_config(peers, 1, data_dir=tmp_path / "a"), ToyApplication())
    await first.start()
    second = Engine(make_config(peers, 1, data_dir=tmp_path / "b"), ToyApplication())
    with pytest.raises(ConfigError, match="can't listen"):
        await second.start()
    await second.stop()
    same = Engine(make_config(peers, 1, data_dir=tmp_path / "a"), ToyApplication())
    with pytest.raises(ConfigError, match="in use by another process"):
        await same.start()
    await first.stop()
    third = Engine(make_config(peers, 1, data_dir=tmp_path / "b"), ToyApplication())
    await third.start()
    await third.stop()


async def test_another_release_of_pysyncobj_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pin, "SOURCE_SHA256", "0" * 64)
    with pytest.raises(FatalError, match="install it again"):
        await Stage(tmp_path).engine.start()


async def test_a_snapshot_that_the_application_refuses_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path)
    async with stage:
        stage.append(2, 1, (1, 0), 2, (1, b"a"))
        await stage.settle()
        await stage.engine.compact_now()
    again = Stage(tmp_path, disk=stage.disk)

    def refuse(*_: object) -> None:
        raise DamageError("not mine")

    monkeypatch.setattr(again.application, "restore", refuse)
    with pytest.raises(DamageError):
        await again.engine.start()
    await (await Stage(tmp_path, disk=stage.disk).start()).stop()
