from __future__ import annotations

import json

import pytest

from coordinator_client import (
    Cause,
    DeleteResult,
    Event,
    EventBatch,
    EventType,
    KeyValue,
    TxnResult,
)
from coordinator_client.cli import output
from coordinator_client.cli.output import Printer

KV = KeyValue(b"/a", b"\xff", 1, 2, 3, 1 << 60)


def test_bytes_that_are_no_text() -> None:
    assert output.field("key", "ä".encode()) == {"key": "ä"}
    assert output.field("key", b"\xff") == {"key_base64": "/w=="}
    assert output.text(b"a\xff") == "a\\xff"
    assert output.kv_json(KV) == {
        "key": "/a",
        "value_base64": "/w==",
        "create_revision": 1,
        "mod_revision": 2,
        "version": 3,
        "session": str(1 << 60),
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"a\nb\r\tc", r"a\nb\r\tc"),
        (b"\x00\x1b[31m\x7f", r"\x00\x1b[31m\x7f"),
        ("\x85\x9b".encode(), r"\x85\x9b"),
        (b"\xff\xfe", r"\xff\xfe"),
        ("\u2028\u202e".encode(), r"\u2028\u202e"),
        ("ä€😀".encode(), "ä€😀"),
    ],
)
def test_controls_are_written_out(value: bytes, shown: str) -> None:
    assert output.text(value) == shown
    assert output.cell(value) == shown
    assert output.visible(value.decode(errors="surrogateescape")) == shown


def test_a_cell_shows_the_beginning_of_a_long_value() -> None:
    assert output.cell(b"x" * 200) == "x" * 200
    assert output.cell(b"x" * 201) == "x" * 200 + "… (201 bytes)"
    assert output.cell("😀".encode() * 200) == "😀" * 200
    assert output.cell("😀".encode() * 250_000) == "😀" * 200 + "… (1,000,000 bytes)"
    assert output.cell(b"xx" + b"\xff" * 100) == "xx" + r"\xff" * 49 + "… (102 bytes)"


def test_responses_are_named_after_their_operations() -> None:
    nested = TxnResult(True, 5, (None, KV, DeleteResult(1, 5)))
    shown = output.txn_json(TxnResult(False, 5, (nested,)))
    assert shown["succeeded"] is False
    (inner,) = shown["responses"]
    assert inner["txn"]["responses"] == [
        {"get": None},
        {"get": output.kv_json(KV)},
        {"delete": {"deleted": 1, "revision": 5, "prevs": []}},
    ]


def test_batches() -> None:
    gone = Event(EventType.DELETE, KeyValue(b"/a", b"", 0, 7, 0), KV, Cause.SESSION_EXPIRED)
    shown = output.batch_json(EventBatch(7, (gone,)))
    assert shown["revision"] == 7
    assert shown["events"][0]["cause"] == "session-expired"
    assert shown["events"][0]["prev"] == output.kv_json(KV)
    assert output.batch_json(EventBatch(7, snapshot=True, kvs=(KV,)))["snapshot"]


def test_a_table_keeps_lines_whole_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(as_json=False).table(("name", "value"), [("[bold]a", "x" * 500), ("b", None)])
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "VALUE"]
    assert first.split() == ["[bold]a", "x" * 500]
    assert second.strip() == "b"


def test_a_wide_cell_moves_only_its_own_row(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a", "x" * 200, 1), ("bb", "y", 2), ("界", "z\nz", 3)]
    Printer(as_json=False).table(("key", "value", "n"), rows)
    assert capsys.readouterr().out.splitlines() == [
        "KEY  VALUE  N",
        f"a    {'x' * 200}  1",
        "bb   y      2",
        r"界   z\nz   3",
    ]


def test_a_line_stays_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(as_json=False).line("a\nb\x1b[2J\x9b", style="red")
    assert capsys.readouterr().out == "a\\nb\\x1b[2J\\x9b\n"


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(as_json=True).json({"a": "two\nlines", "b": "ä"})
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"a": "two\nlines", "b": "ä"}
    assert "ä" in line
