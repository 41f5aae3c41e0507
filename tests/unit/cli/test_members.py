from __future__ import annotations

from coordinator_client import Member, MemberStatus
from coordinator_client.errors import Unavailable
from tests.unit.cli.conftest import Coordctl

MEMBERS = (
    Member(1, "n1", "p:1", "c:1", True, True),
    Member(2, "n2", "p:2", "c:2", False, False),
)
STATUS = MemberStatus(
    cluster_id=1 << 60,
    member_id=1,
    name="n1",
    version="1",
    role="leader",
    leader_id=1,
    leader_name="n1",
    term=2,
    commit_index=3,
    applied_index=3,
    revision=4,
    compacted_revision=0,
    snapshot_index=0,
    journal_size_bytes=5,
    snapshot_size_bytes=0,
    key_count=6,
    session_count=7,
    watch_count=8,
    digest="ab",
    endpoint="c:1",
)


def test_members(coordctl: Coordctl) -> None:
    coordctl.client.answers["members"] = MEMBERS
    rows = coordctl.run("members").stdout.splitlines()
    assert [row.split()[0] for row in rows] == ["NAME", "n1", "n2"]
    assert coordctl.json("members")["members"][1] == {
        "id": "2",
        "name": "n2",
        "peer_address": "p:2",
        "client_address": "c:2",
        "leader": False,
        "connected": False,
    }


def test_a_member_that_does_not_answer_has_a_row(coordctl: Coordctl) -> None:
    def status(address: str, digest: bool) -> MemberStatus:
        if address != "c:1":
            raise Unavailable("nobody there")
        return STATUS

    coordctl.client.answers |= {"members": MEMBERS, "status": status}
    rows = coordctl.run("status", "--digest").stdout.splitlines()
    assert rows[1].split() == ["n1", "c:1", "leader", "2", "4", "3", "6", "7", "ab"]
    assert rows[2].split() == ["c:2", "unavailable"]
    first, second = coordctl.json("status", "--digest")["members"]
    assert first["cluster_id"] == str(1 << 60)
    assert first["digest"] == "ab"
    assert second == {"endpoint": "c:2", "error": "nobody there"}


def test_without_members_the_endpoints_are_asked(coordctl: Coordctl) -> None:
    nobody = Unavailable("nobody there")
    coordctl.client.answers |= {"members": nobody, "status": nobody}
    (shown,) = coordctl.json("status", code=4)["members"]
    assert shown["endpoint"] == "here:1"
