"""How a member begins: first of all, by joining, or where it was."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog.testing

from coordinator.config import Config, Member, Timing
from coordinator.consensus.configuration import configuration_of
from coordinator.consensus.folder import FORMAT_VERSION, IDENTITY, Identity, MemberFolder
from coordinator.consensus.interface import AddLearner
from coordinator.errors import ConfigError, DamageError
from coordinator.joining import Origin, cluster_key, find_origin, found, join, member_id
from tests.unit.client.stage import Stage

QUICK = Timing(join_ms=1)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


def config(path: Path, **more: object) -> Config:
    settings = {"name": "n9", "data_dir": str(path), "peer_address": "n9:1", "timing": QUICK}
    return Config(**{**settings, **more})  # type: ignore[arg-type]  # fields by name


def claim(path: Path, origin: Origin) -> None:
    """Does what the engine does when it takes an empty folder."""
    folder = MemberFolder(path)
    configuration = configuration_of(origin.peers)
    this = origin.this
    folder.claim(Identity(FORMAT_VERSION, origin.cluster_key, this.id, this.name, configuration))
    folder.release()


def nobody() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_ids_are_the_same_in_every_run_and_differ_between_clusters() -> None:
    assert member_id("t", "n1") == member_id("t", "n1") != member_id("t", "n2")
    assert member_id("t", "n1") != member_id("u", "n1")
    assert 0 < member_id("t", "n1") < 1 << 63
    assert cluster_key("t", ("a", "b")) == cluster_key("t", ("b", "a"))
    assert cluster_key("t", ("a",)) != cluster_key("t", ("a", "b"))


def test_a_member_alone_and_the_first_members(tmp_path: Path) -> None:
    alone = found(config(tmp_path))
    assert [(p.name, p.address, p.voter) for p in alone.peers] == [("n9", "n9:1", True)]
    cluster = (Member("n9", "n9:1"), Member("n1", "n1:1"))
    first = found(config(tmp_path, cluster=cluster))
    other = found(config(tmp_path, cluster=cluster, name="n1"))
    assert [p.name for p in first.peers] == ["n1", "n9"]
    assert (first.peers, first.cluster_key) == (other.peers, other.cluster_key)
    assert first.this.name == "n9"


async def test_a_folder_that_was_used_decides_alone(tmp_path: Path) -> None:
    cluster = (Member("n9", "n9:1"), Member("n1", "n1:1"))
    origin = await find_origin(config(tmp_path, cluster=cluster))
    claim(tmp_path, origin)
    for later in (
        config(tmp_path, cluster=cluster),
        config(tmp_path, cluster=(*cluster, Member("n2", "n2:1"))),
        config(tmp_path),
        config(tmp_path, join=(nobody(),)),
    ):
        assert await find_origin(later) == origin


async def test_that_settings_do_not_count_is_told(tmp_path: Path) -> None:
    origin = await find_origin(config(tmp_path, cluster=(Member("n9", "n9:1"),)))
    claim(tmp_path, origin)
    with structlog.testing.capture_logs() as lines:
        await find_origin(config(tmp_path, cluster=(Member("n9", "n9:2"),)))
        assert not lines
        await find_origin(config(tmp_path, join=(nobody(),)))
    assert [line["log_level"] for line in lines] == ["info"]


async def test_an_attempt_that_came_to_nothing_binds_nobody(tmp_path: Path) -> None:
    await find_origin(config(tmp_path, cluster=(Member("n9", "n9:1"), Member("n1", "n1:1"))))
    assert [p.name for p in (await find_origin(config(tmp_path))).peers] == ["n9"]


async def test_the_folder_of_another_is_refused(tmp_path: Path) -> None:
    claim(tmp_path, await find_origin(config(tmp_path)))
    with pytest.raises(ConfigError, match="belongs to member 'n9', not 'n8'"):
        await find_origin(config(tmp_path, name="n8"))
    with pytest.raises(ConfigError, match="another cluster"):
        await find_origin(config(tmp_path, cluster_token="other"))


async def test_damage_is_told(tmp_path: Path) -> None:
    claim(tmp_path, await find_origin(config(tmp_path)))
    (tmp_path / IDENTITY).write_bytes(b"{")
    with pytest.raises(DamageError, match=IDENTITY):
        await find_origin(config(tmp_path))


async def test_joining(stage: Stage, tmp_path: Path) -> None:
    deadline = asyncio.get_running_loop().time() + 5
    for node in stage.bus.nodes:
        node.cluster_key = 77
    stage.bus.addresses = {i + 1: endpoint for i, endpoint in enumerate(stage.endpoints)}

    await stage.bus.nodes[0].change_members(
        AddLearner(123, "n9", "n9:1"), force=False, deadline=deadline
    )
    settings = config(tmp_path, join=(nobody(), stage.endpoints[2]))
    origin = await find_origin(settings)
    assert (origin.joined, origin.cluster_key, origin.this.id) == (True, 77, 123)
    assert [(p.id, p.name, p.voter) for p in origin.peers] == [
        (1, "a", True), (2, "b", True), (3, "c", True), (123, "n9", False),
    ]  # fmt: skip
    claim(tmp_path, origin)
    # Nobody has to be asked again, whatever the token is.
    assert await find_origin(config(tmp_path, join=(nobody(),), cluster_token="x")) == origin


async def test_who_was_not_added_is_told_how(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="coordctl member add n9 n9:1"):
        await join(config(tmp_path, join=(stage.endpoints[0],)))
    with pytest.raises(ConfigError, match="votes already"):
        await join(config(tmp_path, name="b", join=(stage.endpoints[0],)))


async def test_only_the_leader_knows_for_sure_who_ran_before(stage: Stage, tmp_path: Path) -> None:

    deadline = asyncio.get_running_loop().time() + 5
    await stage.bus.nodes[0].change_members(
        AddLearner(123, "n9", "n9:1"), force=False, deadline=deadline
    )
    stage.bus.addresses = {1: stage.endpoints[0], 123: "n9:2"}
    with pytest.raises(ConfigError, match="ran already"):
        await join(config(tmp_path, join=(stage.endpoints[1],)))


async def test_where_nobody_answers_joining_ends(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no member of the cluster could answer"):
        await join(config(tmp_path, join=(nobody(),)))
    stage.bus.quorum = False
    timing = Timing(join_ms=100, request_timeout_ms_default=100)
    for node in stage.bus.nodes:
        node.timing = timing
    waiting = asyncio.create_task(
        join(config(tmp_path, join=tuple(stage.endpoints[:1]), timing=Timing(join_ms=30_000)))
    )
    await asyncio.sleep(0.2)
    assert not waiting.done()
    stage.bus.quorum = True
    with pytest.raises(ConfigError, match="coordctl member add"):
        await asyncio.wait_for(waiting, 10)
