from __future__ import annotations

import pytest

from coordinator_client.errors import NotFound
from tests.unit.cli.conftest import Coordctl


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("drain",), "draining"),
        (("drain", "--off"), "passing"),
        (("maintenance",), "maintenance"),
        (("maintenance", "--off"), "passing"),
    ],
)
def test_states(coordctl: Coordctl, command: tuple[str, ...], status: str) -> None:
    coordctl.client.answers["set_instance_state"] = None
    done = coordctl.run(*command, "pay", "i-1", "--note", "why")
    assert done.output == f"pay  i-1  {status}\n"
    assert coordctl.client.asked == [("set_instance_state", ("pay", "i-1", status, "why"), {})]
    assert coordctl.json(*command, "pay", "i-1") == {
        "service": "pay",
        "id": "i-1",
        "state": {"status": status, "note": ""},
    }


def test_no_such_instance(coordctl: Coordctl) -> None:
    coordctl.client.answers["set_instance_state"] = NotFound("service pay has no instance i-1")
    done = coordctl.run("drain", "pay", "i-1", code=3)
    assert "no instance i-1" in done.output
