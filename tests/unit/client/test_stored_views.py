from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator_client import Event, EventBatch, EventType, InvalidArgument, KeyValue
from coordinator_client import stored_views as module
from coordinator_client.stored_views import (
    KeyCopy,
    StoredView,
    Unstorable,
    Unusable,
    decode,
    encode,
    load,
    path_of,
    save,
)

KVS = (
    KeyValue(b"/services/pay/instances/a", b'{"address":"10.0.0.1","port":80}', 3, 5, 2, 2**62),
    KeyValue(b"/services/pay/state/a", b"\xff\x00 odd \xc3\xa9", 3, 6, 4, 9),
)
VIEW = StoredView("pay", 7, KVS)


def test_a_view_comes_back_as_it_went(tmp_path: Path) -> None:
    path = tmp_path / "pay.view"
    assert load(path, "pay") is None
    save(path, VIEW)
    assert load(path, "pay") == VIEW
    assert VIEW.batch() == EventBatch(7, snapshot=True, kvs=KVS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    save(path, StoredView("pay", 8, ()))
    assert load(path, "pay") == StoredView("pay", 8, ())
    assert [child.name for child in tmp_path.iterdir()] == ["pay.view"]


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(encode(VIEW)) | fields).encode()


def with_key(**fields: Any) -> bytes:
    written = json.loads(encode(VIEW))["keys"][0] | fields
    return changed(keys=[{name: value for name, value in written.items() if value is not None}])


DAMAGED = [
    b"", b"\xff", b"[]", b"{}", b"[" * 100_000, encode(VIEW)[:-9], changed(format="other"),
    changed(version=2), changed(version="1"), changed(service="mail"), changed(revision=-1),
    changed(revision="7"), changed(revision=True), changed(keys=7), changed(keys=[7]),
    changed(keys=None), with_key(key=None), with_key(key=7), with_key(value=None), with_key(session=-1),
    with_key(version=1.5), with_key(mod_revision=2**70), with_key(key="/services/mail/state/a"),
    with_key(key="\ud800"),
]  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_what_is_no_view_of_the_service_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path = tmp_path / "pay.view"
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert load(path, "pay") is None
    assert "passed over" in caplog.text
    with pytest.raises(Unusable):
        decode("pay", content)


@given(st.integers(0, 400), st.binary(max_size=4))
def test_no_damage_raises_anything_else(at: int, junk: bytes) -> None:
    content = encode(VIEW)
    with contextlib.suppress(Unusable):
        assert decode("pay", content[:at] + junk + content[at + len(junk) :]).service == "pay"


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert load(tmp_path / "pipe", "pay") is None, "and nobody waits for a writer"
    assert load(tmp_path, "pay") is None


def test_a_view_is_not_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pay.view"
    save(path, VIEW)
    monkeypatch.setattr(module, "FILE_SIZE_BYTES_MAX", 100)
    with pytest.raises(Unstorable, match="more than 100"):
        save(path, VIEW)
    assert load(path, "pay") is None
    monkeypatch.undo()
    assert load(path, "pay") == VIEW, "what was there stays"


def test_a_file_that_can_not_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        save(tmp_path / "folder", VIEW)
    assert [child.name for child in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_program_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "pay[1].view"
    save(path, VIEW)
    for name, age_s in (
        (".pay[1].view.old.new", 601),
        (".pay[1].view.fresh.new", 0),
        ("x.new", 601),
    ):
        (tmp_path / name).touch()
        began = path.stat().st_mtime - age_s
        os.utime(tmp_path / name, (began, began))
    assert load(path, "pay") == VIEW
    left = {".pay[1].view.fresh.new", "pay[1].view", "x.new"}
    assert {child.name for child in tmp_path.iterdir()} == left


def test_paths(tmp_path: Path) -> None:
    assert path_of(str(tmp_path / "a")) == path_of(tmp_path / "a") == tmp_path / "a"
    for wrong in (tmp_path, tmp_path / "none" / "a", 7, "a\0b", None):
        with pytest.raises(InvalidArgument, match="keep_in"):
            path_of(wrong)  # type: ignore[arg-type]  # on purpose


def test_a_copy_follows_the_watch() -> None:
    copy = KeyCopy("pay")
    copy.apply(EventBatch(5, snapshot=True, kvs=KVS))
    assert copy.view() == StoredView("pay", 5, KVS)
    gone = Event(EventType.DELETE, KeyValue(KVS[0].key, b"", 0, 6, 0))
    added = Event(EventType.PUT, KeyValue(b"/services/pay/settings", b"{}", 6, 6, 1))
    copy.apply(EventBatch(6, (gone, added)))
    assert copy.view() == StoredView("pay", 6, (KVS[1], added.kv))
    copy.apply(EventBatch(9, snapshot=True, kvs=KVS[:1]))
    assert copy.view() == StoredView("pay", 9, KVS[:1])
