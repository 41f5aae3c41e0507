"""New clusters from what old ones left: what is kept, what changes, and that a crash leaves the one or the other."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from coordinator.config import Member
from coordinator.consensus.disk import LocalDisk
from coordinator.consensus.folder import MemberFolder, read_identity
from coordinator.errors import ConfigError, DamageError
from coordinator.recovery.contents import Remains
from coordinator.recovery.inspection import inspect
from coordinator.recovery.rebirths import Reborn, force_new_cluster, restore, was_forced
from coordinator.state.machine import StateMachine
from coordinator.state.results import Failure
from tests.unit.consensus.faults import Crash, FaultDisk
from tests.unit.recovery.stage import IDENTITY, PEERS, TERM, write_member, write_snapshot

CLUSTER = tuple(Member(f"m{i}", f"127.0.0.1:{8000 + i}") for i in (1, 2, 3))
BUMP = 1_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / write_snapshot(LocalDisk(folder), 20).name


def make(file: Path, folder: Path, name: str = "m1", token: str = "t", bump: int = BUMP) -> Reborn:
    return restore(file, folder, name, CLUSTER, token=token, revision_bump=bump)


def contents_of(folder: Path) -> tuple[Remains, StateMachine]:
    identity = read_identity(folder)
    assert identity is not None
    remains = Remains(LocalDisk(folder), identity)
    return remains, remains.load()


def test_every_member_of_a_restored_cluster_begins_the_same(file: Path, tmp_path: Path) -> None:
    made = [make(file, tmp_path / m.name, m.name) for m in CLUSTER]
    digests, keys, ids = set(), set(), set()
    for member in CLUSTER:
        remains, machine = contents_of(tmp_path / member.name)
        digests.add(machine.digest())
        identity = read_identity(tmp_path / member.name)
        assert identity is not None and identity.reborn == "restored"
        keys.add(identity.cluster_key)
        ids.add(identity.member_id)
        assert (remains.last_index, remains.last_term, remains.journal.term) == (22, TERM, TERM)
        assert (remains.journal.vote, remains.journal.commit_index) == (0, 22)
        assert [p.name for p in remains.members.peers] == ["m1", "m2", "m3"]
        assert inspect(tmp_path / member.name).ok
    assert (len(digests), len(keys), len(ids)) == (1, 1, 3)
    assert len({one.cluster_id for one in made}) == 1


def test_keys_and_sessions_stay_and_all_revisions_seen_are_compacted(
    file: Path, tmp_path: Path
) -> None:
    made = make(file, tmp_path / "d")
    _, machine = contents_of(tmp_path / "d")
    assert (
        (machine.key_count, machine.session_count)
        == (20, 1)
        == (
            made.key_count,
            made.session_count,
        )
    )
    assert machine.session_keys(7) == (b"/k0",)
    assert made.revision_before == 21
    assert machine.revision == machine.compacted_revision == 21 + BUMP == made.revision
    assert machine.cluster_id == made.cluster_id != 5
    for seen in (2, 21, 22, 21 + BUMP):
        assert isinstance(machine.batches(seen, 1), Failure)
    assert machine.batches(22 + BUMP, 1) == []


def test_another_token_or_bump_makes_another_cluster(file: Path, tmp_path: Path) -> None:
    made = [
        make(file, tmp_path / "a"),
        make(file, tmp_path / "b", token="u"),
        make(file, tmp_path / "c", bump=BUMP + 1),
        restore(file, tmp_path / "d", "m1", CLUSTER[:1], token="t", revision_bump=BUMP),
    ]
    assert len({one.cluster_id for one in made}) == 4
    keys = {getattr(read_identity(tmp_path / name), "cluster_key", None) for name in "abcd"}
    assert len(keys) == 4 and IDENTITY.cluster_key not in keys


def test_a_folder_that_holds_something_is_refused_and_left_alone(
    file: Path, tmp_path: Path
) -> None:
    write_member_in(tmp_path / "d")
    before = inspect(tmp_path / "d")
    with pytest.raises(ConfigError, match="not empty"):
        make(file, tmp_path / "d")
    after = inspect(tmp_path / "d")
    assert after.identity == before.identity and after.journal == before.journal


def test_a_file_that_is_damaged_anywhere_is_refused(file: Path, tmp_path: Path) -> None:
    good = file.read_bytes()
    for offset in range(len(good)):
        file.write_bytes(good[:offset] + bytes((good[offset] ^ 0x10,)) + good[offset + 1 :])
        with pytest.raises(DamageError, match="damaged"):
            make(file, tmp_path / "d")
    for size in range(len(good)):
        file.write_bytes(good[:size])
        with pytest.raises(DamageError):
            make(file, tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_a_missing_file_and_a_bump_beyond_all_bounds_are_refused(
    file: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="can't read"):
        make(tmp_path / "nothing", tmp_path / "d")
    with pytest.raises(ConfigError, match="bump-revision"):
        make(file, tmp_path / "d", bump=1 << 62)
    make(file, tmp_path / "d")


# The last survivor.


def write_member_in(folder: Path, snapshot_of: int = 0) -> None:
    folder.mkdir()
    write_member(LocalDisk(folder), snapshot_of=snapshot_of)


@pytest.mark.parametrize("snapshot_of", [0, 3])
def test_the_last_survivor_keeps_all_that_it_has(tmp_path: Path, snapshot_of: int) -> None:
    write_member_in(tmp_path / "d", snapshot_of)
    assert not was_forced(tmp_path / "d")
    made = force_new_cluster(tmp_path / "d", "127.0.0.1:9", revision_bump=BUMP)
    remains, machine = contents_of(tmp_path / "d")
    identity = read_identity(tmp_path / "d")
    # The journal says that entry 5 is committed; there are 7.
    assert machine.key_count == 5 and machine.session_count == 1
    assert machine.revision == machine.compacted_revision == 6 + BUMP == made.revision
    assert [(p.name, p.address, p.voter) for p in remains.members.peers] == [
        ("n1", "127.0.0.1:9", True)
    ]
    assert identity is not None
    assert identity.cluster_key != IDENTITY.cluster_key
    assert identity.member_id not in {peer.id for peer in PEERS}
    assert was_forced(tmp_path / "d") and inspect(tmp_path / "d").ok


def test_the_wrong_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no member"):
        force_new_cluster(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    write_member_in(tmp_path / "d")
    with pytest.raises(ConfigError, match="belongs to member 'n1'"):
        force_new_cluster(tmp_path / "d", name="n2")
    held = MemberFolder(tmp_path / "d")
    with pytest.raises(ConfigError, match="in use"):
        force_new_cluster(tmp_path / "d")
    held.release()
    assert not was_forced(tmp_path / "d")


def digest_on(disk: FaultDisk) -> str | None:
    """What a member finds that starts on this disk; None: nothing."""
    folder = MemberFolder(Path("nowhere"), disk)
    identity = read_identity(folder.path, folder.disk)
    if identity is None:
        assert not disk.names()
        return None
    return Remains(disk, identity).load().digest()


@pytest.mark.parametrize("power_lost", [False, True])
@pytest.mark.parametrize("what", ["restore", "force"])
def test_a_crash_at_any_operation_leaves_the_old_or_the_new(
    what: str, power_lost: bool, file: Path
) -> None:
    seen: set[str] = set()
    at = 0
    while True:
        at += 1
        disk = FaultDisk()
        if what == "force":
            write_member(disk, snapshot_of=3)
        disk.sync_folder()
        old = digest_on(disk)
        disk.crash_at = disk.operations + at
        try:
            if what == "force":
                force_new_cluster(Path("nowhere"), disk=disk, revision_bump=BUMP)
            else:
                restore(
                    file, Path("nowhere"), "m1", CLUSTER, token="t", disk=disk, revision_bump=BUMP
                )
        except Crash:
            disk.crash_at = None
            if power_lost:
                disk.lose_power(random.Random(at))
            seen.add("old" if digest_on(disk) == old else "new")
            continue
        disk.lose_power(random.Random(at))
        assert digest_on(disk) not in (old, None)
        break
    assert at > 15 and seen == {"old", "new"}
