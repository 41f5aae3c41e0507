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


def test_deregister(coordctl: Coordctl) -> None:
    coordctl.client.answers["deregister"] = None
    assert coordctl.run("deregister", "pay", "i-1").output == "pay  i-1  deregistered\n"
    assert coordctl.client.asked == [("deregister", ("pay", "i-1"), {})]
    assert coordctl.json("deregister", "pay", "i-1") == {
        "service": "pay",
        "id": "i-1",
        "deregistered": True,
    }
    coordctl.client.answers["deregister"] = NotFound("service pay has no instance i-1")
    assert "no instance i-1" in coordctl.run("deregister", "pay", "i-1", code=3).output
