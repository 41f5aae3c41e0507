from __future__ import annotations

from dataclasses import replace

import pytest

from coordinator_client import Alarm, Member, MemberStatus
from coordinator_client.errors import NotFound, RequestRefused, Unavailable
from tests.unit.cli.conftest import Coordctl

MEMBERS = (
    Member(1, "n1", "p:1", "c:1", True, True),
    Member(2, "n2", "p:2", "c:2", False, False),
    Member(3, "n3", "p:3", "", False, True, voter=False, lag=7),
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


@pytest.mark.parametrize("command", [("members",), ("member", "list")])
def test_members(coordctl: Coordctl, command: tuple[str, ...]) -> None:
    coordctl.client.answers["members"] = MEMBERS
    rows = [row.split() for row in coordctl.run(*command).stdout.splitlines()]
    assert rows[0] == ["NAME", "CLIENT", "PEER", "ROLE", "LAG", "CONNECTED", "ID"]
    assert rows[1:] == [
        ["n1", "c:1", "p:1", "leader", "yes", "1"],
        ["n2", "c:2", "p:2", "voter", "no", "2"],
        ["n3", "p:3", "learner", "7", "yes", "3"],
    ]
    assert coordctl.client.asked == [("members", (), {"lag": True})]
    assert coordctl.json(*command)["members"][2] == {
        "id": "3",
        "name": "n3",
        "peer_address": "p:3",
        "client_address": "",
        "leader": False,
        "connected": True,
        "voter": False,
        "lag": 7,
    }


@pytest.mark.parametrize(
    ("arguments", "method", "asked", "options", "line"),
    [
        (("add", "n3", "p:3"), "add_member", ("n3", "p:3"), {}, "added n3  id 3  peer p:3"),
        (("promote", "n3"), "promote_member", ("n3",), {"wait": False}, "promoted n3  id 3  peer p:3"),
        (("promote", "3", "--wait"), "promote_member", ("3",), {"wait": True}, "promoted n3  id 3  peer p:3"),
        (("update-address", "n3", "p:3"), "update_member_address", ("n3", "p:3"), {}, "updated n3  id 3  peer p:3"),
    ],
)  # fmt: skip
def test_a_change_shows_the_member(
    coordctl: Coordctl,
    arguments: tuple[str, ...],
    method: str,
    asked: tuple[str, ...],
    options: dict[str, bool],
    line: str,
) -> None:
    coordctl.client.answers[method] = MEMBERS[2]
    assert coordctl.run("member", *arguments).stdout == line + "\n"
    assert coordctl.client.asked == [(method, asked, options)]
    assert coordctl.json("member", *arguments)["member"]["id"] == "3"


def test_removing(coordctl: Coordctl) -> None:
    coordctl.client.answers["remove_member"] = None
    assert coordctl.run("member", "remove", "n2").stdout == "removed n2\n"
    assert coordctl.json("member", "remove", "2", "--force") == {"removed": "2"}
    assert coordctl.client.asked == [
        ("remove_member", ("n2",), {"force": False}),
        ("remove_member", ("2",), {"force": True}),
    ]
    coordctl.client.answers["remove_member"] = NotFound("there is no member n9")
    assert "there is no member n9" in coordctl.run("member", "remove", "n9", code=3).stderr


def test_what_is_refused_is_told(coordctl: Coordctl) -> None:
    behind = RequestRefused("the learner is 9 entries behind", "LEARNER_BEHIND")
    coordctl.client.answers["promote_member"] = behind
    assert "9 entries behind" in coordctl.run("member", "promote", "n3", code=1).stderr
    coordctl.run("member", "add", "n3", code=2)


def test_moving_the_leader(coordctl: Coordctl) -> None:
    coordctl.client.answers["transfer_leadership"] = "n2"
    assert coordctl.run("move-leader").stdout == "leader n2\n"
    assert coordctl.json("move-leader", "n2") == {"leader_name": "n2"}
    assert [asked for _, asked, _ in coordctl.client.asked] == [(None,), ("n2",)]


def test_a_member_that_does_not_answer_has_a_row(coordctl: Coordctl) -> None:
    def status(address: str, digest: bool) -> MemberStatus:
        if address != "c:1":
            raise Unavailable("nobody there")
        return STATUS

    coordctl.client.answers |= {"members": MEMBERS, "status": status}
    rows = coordctl.run("status", "--digest").stdout.splitlines()
    assert rows[1].split() == ["n1", "c:1", "leader", "2", "4", "3", "6", "7", "ab"]
    assert rows[2].split() == ["c:2", "unavailable"]
    first, second = coordctl.json("status", "--digest")["members"][:2]
    assert first["cluster_id"] == str(1 << 60)
    assert first["digest"] == "ab"
    assert second == {"endpoint": "c:2", "error": "nobody there"}


def test_alarms_are_told_once_with_those_who_raise_them(coordctl: Coordctl) -> None:
    full = Alarm("space-quota", 0, "the state is too large")
    odd = Alarm("diverged", 3, "n3 differs")

    def status(address: str, digest: bool) -> MemberStatus:
        name = "n1" if address == "c:1" else "n2"
        return replace(
            STATUS, digest="", name=name, alarms=(full, odd) if name == "n1" else (full,)
        )

    coordctl.client.answers |= {"members": MEMBERS, "status": status}
    rows = coordctl.run("status").stdout.splitlines()
    assert rows[3:] == [
        "ALARM of n1, n2: the state is too large",
        "ALARM of n1: n3 differs",
    ]
    assert coordctl.json("status")["members"][0]["alarms"] == [
        {"kind": "space-quota", "member_id": None, "message": "the state is too large"},
        {"kind": "diverged", "member_id": "3", "message": "n3 differs"},
    ]


def test_without_members_the_endpoints_are_asked(coordctl: Coordctl) -> None:
    nobody = Unavailable("nobody there")
    coordctl.client.answers |= {"members": nobody, "status": nobody}
    (shown,) = coordctl.json("status", code=4)["members"]
    assert shown["endpoint"] == "here:1"
