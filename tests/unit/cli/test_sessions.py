from __future__ import annotations

from coordinator_client import SessionRecord
from tests.unit.cli.conftest import Coordctl

RECORD = SessionRecord(1 << 60, 10.0, 0.5, {"b": "2", "a": "1"}, 3, 4)


def test_list(coordctl: Coordctl) -> None:
    coordctl.client.answers["sessions"] = (RECORD,)
    _, row = coordctl.run("session", "list").stdout.splitlines()
    assert row.split() == [str(1 << 60), "10", "s", "0.5", "s", "3", "a=1", "b=2"]
    (shown,) = coordctl.json("session", "list")["sessions"]
    assert shown["id"] == str(1 << 60)
    assert shown["disconnect_grace_s"] == 0.5


def test_close(coordctl: Coordctl) -> None:
    coordctl.client.answers["close_session"] = 3
    assert coordctl.run("session", "close", "7").stdout == "closed 7  deleted 3\n"
    assert coordctl.json("session", "close", "7") == {"id": "7", "deleted": 3}
