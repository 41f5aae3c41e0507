from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from coordinator_client import (
    Cause,
    DeleteResult,
    Event,
    EventBatch,
    EventType,
    KeyValue,
    PutResult,
    RangeResult,
)
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


def test_get_of_a_missing_key_names_it_on_one_line(coordctl: Coordctl) -> None:
    coordctl.client.answers["range"] = RangeResult((), 0, False, 9)
    assert coordctl.run("get", "/a\x1b\nb", code=3).stderr == "coordctl: no key /a\\x1b\\nb\n"


def test_a_table_of_large_values_is_quick_and_short(coordctl: Coordctl) -> None:
    value = bytes(range(256)) * 4096
    kvs = (KV, KeyValue(b"/big\n", value, 5, 6, 2))
    coordctl.client.answers["range"] = RangeResult(kvs, 2, False, 9)
    began_s = time.process_time()
    header, small, big = coordctl.run("get", "/", "--prefix").stdout.splitlines()
    assert time.process_time() - began_s < 10
    assert len(header) < 60
    assert small.split() == ["/a", "1", "6", "2"]
    assert big.startswith("/big\\n  \\x00\\x01")
    assert big.split()[-4:] == ["(1,048,576", "bytes)", "6", "2"]
    assert len(big) < 260
    coordctl.client.answers["range"] = RangeResult(kvs[1:], 1, False, 9)
    assert coordctl.run("get", "/big").stdout_bytes == value + b"\n"


def test_keys_only_leaves_values_out(coordctl: Coordctl) -> None:
    kv = KeyValue(b"/a", b"", 5, 6, 2)
    coordctl.client.answers["range"] = RangeResult((kv,), 1, False, 9)
    header, row = coordctl.run("get", "/", "--prefix", "--keys-only").stdout.splitlines()
    assert header.split() == ["KEY", "REVISION", "VERSION", "SESSION"]
    assert row.split() == ["/a", "6", "2"]
    expected = {
        "key": "/a",
        "create_revision": 5,
        "mod_revision": 6,
        "version": 2,
        "session": None,
    }
    assert coordctl.json("get", "/", "--prefix", "--keys-only")["kvs"] == [expected]
    assert coordctl.json("get", "/a", "--keys-only") == expected


def test_keys_and_values_need_not_be_utf_8(coordctl: Coordctl) -> None:
    client = coordctl.client
    strange = os.fsdecode(b"/k\xff")
    client.answers |= {
        "put": PutResult(b"/k\xff", 7),
        "range": RangeResult((KeyValue(b"/k\xff", b"1", 5, 6, 2),), 1, False, 9),
        "delete": DeleteResult(1, 8),
        "children": ("a\nb",),
    }
    assert coordctl.run("put", strange, os.fsdecode(b"\xfe")).stdout == "/k\\xff  revision 7\n"
    assert coordctl.run("get", strange).stdout == "1\n"
    coordctl.run("del", strange)
    assert coordctl.run("ls", strange).stdout == "a\\nb\n"
    assert coordctl.json("ls", strange)["path_base64"] == "L2v/"
    assert client.asked[0][1] == (b"/k\xff", b"\xfe")
    assert {arguments[0] for _, arguments, _ in client.asked} == {b"/k\xff"}


def test_watch_keeps_controls_from_the_terminal(coordctl: Coordctl) -> None:
    put = Event(EventType.PUT, KeyValue(b"/w\n", b"\x1b[2J", 7, 7, 1))
    gone = Event(
        EventType.DELETE,
        KeyValue(b"/w\r", b"", 0, 7, 0),
        KeyValue(b"/w\r", b"\xff", 1, 1, 1),
        Cause.DELETED,
    )

    @contextmanager
    def watch(key: bytes, **options: object) -> Iterator[Iterator[EventBatch]]:
        assert key == b"/w\xff"
        yield iter([EventBatch(7, (put, gone))])

    coordctl.client.answers["watch"] = watch
    assert coordctl.run("watch", os.fsdecode(b"/w\xff")).stdout.splitlines() == [
        r"7  put     /w\n  \x1b[2J",
        r"7  delete  /w\r  deleted  was \xff",
    ]


@pytest.mark.parametrize("number", [str(1 << 63), "-1", "9" * 5000, "x"])
def test_numbers_have_64_bits(coordctl: Coordctl, number: str) -> None:
    for arguments in (
        ("put", "/a", "b", "--session", number),
        ("get", "/a", "--revision", number),
        ("get", "/a", "--limit", number),
        ("session", "close", "--", number),
    ):
        assert "is not a whole number from 0 to" in coordctl.run(*arguments, code=2).stderr


def test_del(coordctl: Coordctl) -> None:
    coordctl.client.answers["delete"] = DeleteResult(1, 8, (KV,))
    assert coordctl.run("del", "/a", "--prev").stdout.startswith("deleted 1  revision 8\nKEY")
    coordctl.client.answers["delete"] = DeleteResult(0, 8)
    coordctl.run("del", "/a", code=3)


def test_ls(coordctl: Coordctl) -> None:
    coordctl.client.answers["children"] = ("a", "b c")
    assert coordctl.run("ls").stdout == "a\nb c\n"
    assert coordctl.json("ls", "/x") == {"path": "/x", "children": ["a", "b c"]}
