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


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(as_json=True).json({"a": "two\nlines", "b": "ä"})
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"a": "two\nlines", "b": "ä"}
    assert "ä" in line
