from __future__ import annotations

import pytest

from coordinator_client import errors
from coordinator_client.cli.options import ENDPOINTS_DEFAULT, ENDPOINTS_VARIABLE, exit_code
from coordinator_client.model import RangeResult
from tests.unit.cli.conftest import Coordctl


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.CoordinatorError("x"), 1),
        (errors.Compacted("x"), 1),
        (errors.LimitExceeded("x"), 1),
        (errors.SessionExists("x"), 1),
        (errors.InvalidArgument("x"), 2),
        (errors.SessionNotFound("x"), 3),
        (errors.Unavailable("x"), 4),
        (errors.DeadlineExceeded("x"), 4),
        (errors.OutcomeUnknown("x"), 5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_has_its_exit_code(
    coordctl: Coordctl, error: errors.CoordinatorError, code: int
) -> None:
    assert exit_code(error) == code
    coordctl.client.answers["range"] = error
    assert coordctl.run("get", "/a", code=code).stderr == "coordctl: x\n"


def test_interruption(coordctl: Coordctl) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    coordctl.client.answers["range"] = interrupt
    coordctl.run("get", "/a", code=130)


def test_shared_options_may_stand_before_and_after_the_command(
    coordctl: Coordctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = coordctl.client
    client.answers["range"] = RangeResult((), 0, False, 1)
    coordctl.run("get", "/a", code=3)
    assert client.options is not None
    assert (client.options.endpoints, client.options.timeout_s) == (ENDPOINTS_DEFAULT, 5)
    monkeypatch.setenv(ENDPOINTS_VARIABLE, "there:2")
    coordctl.run("get", "/a", code=3)
    assert client.options.endpoints == "there:2"
    coordctl.run("--endpoints", "x:1", "--timeout", "1", "get", "/a", "--endpoints", "y:2", code=3)
    assert (client.options.endpoints, client.options.timeout_s) == ("y:2", 1)
    coordctl.run("--timeout", "0", "get", "/a", code=2)
