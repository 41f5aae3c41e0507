from __future__ import annotations

from coordinator_client import DeleteResult, KeyValue, PutResult, RangeResult
from tests.unit.cli.conftest import Coordctl

KV = KeyValue(b"/a", b"1", 5, 6, 2)


def test_put_takes_the_value_from_argument_or_input(coordctl: Coordctl) -> None:
    client = coordctl.client
    client.answers["put"] = PutResult(b"/a", 7)
    assert coordctl.run("put", "/a", "ä").stdout == "/a  revision 7\n"
    coordctl.run("put", "/a", stdin=b"\xff\n")
    coordctl.run("put", "/a", "-", stdin=b"x")
    coordctl.run("put", "/a", "", "--session", "9", "--sequence", "--prev")
    assert [arguments for _, arguments, _ in client.asked] == [
        (b"/a", "ä".encode()),
        (b"/a", b"\xff\n"),
        (b"/a", b"x"),
        (b"/a", b""),
    ]
    assert client.asked[-1][2] == {"session": 9, "sequence": True, "prev": True}


def test_get_prints_the_value_alone(coordctl: Coordctl) -> None:
    coordctl.client.answers["range"] = RangeResult((KV,), 1, False, 9)
    assert coordctl.run("get", "/a").stdout == "1\n"
    assert coordctl.run("get", "/a", "--no-newline").stdout == "1"
    assert coordctl.run("get", "/a", "--keys-only").stdout == "/a\n"
    assert coordctl.json("get", "/a")["version"] == 2


def test_get_says_that_there_is_more(coordctl: Coordctl) -> None:
    coordctl.client.answers["range"] = RangeResult((KV,), 10, True, 9)
    assert "… 9 more" in coordctl.run("get", "/", "--prefix").stdout
    assert coordctl.json("get", "/", "--prefix")["more"] is True


def test_get_of_nothing_prints_nothing(coordctl: Coordctl) -> None:
    coordctl.client.answers["range"] = RangeResult((), 0, False, 9)
    assert coordctl.run("get", "/a", "-o", "json", code=3).stdout == ""
    assert coordctl.json("get", "/a", "--prefix", code=3)["kvs"] == []


def test_del(coordctl: Coordctl) -> None:
    coordctl.client.answers["delete"] = DeleteResult(1, 8, (KV,))
    assert coordctl.run("del", "/a", "--prev").stdout.startswith("deleted 1  revision 8\nKEY")
    coordctl.client.answers["delete"] = DeleteResult(0, 8)
    coordctl.run("del", "/a", code=3)


def test_ls(coordctl: Coordctl) -> None:
    coordctl.client.answers["children"] = ("a", "b c")
    assert coordctl.run("ls").stdout == "a\nb c\n"
    assert coordctl.json("ls", "/x") == {"path": "/x", "children": ["a", "b c"]}
