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


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("ttl_ms: must be from 500 to 86400000", "--ttl must be from 0.5 to 86400 seconds"),
        (
            "disconnect_grace_ms: must be from 0 to ttl_ms",
            "--grace must be from 0 to --ttl seconds",
        ),
        ("ttl is nan, not a number of seconds", "--ttl is nan, not a number of seconds"),
        (
            "timeout_s is nan, not between 0 and 9 seconds",
            "--timeout is nan, not between 0 and 9 seconds",
        ),
        ("Deadline Exceeded", "no answer from x:1,y:2 within 1.5 s"),
        (
            "may be applied: Deadline Exceeded",
            "may be applied: no answer from x:1,y:2 within 1.5 s",
        ),
        ("key\x1b", "key\\x1b"),
    ],
)
def test_errors_speak_of_what_the_command_line_has(
    coordctl: Coordctl, message: str, said: str
) -> None:
    coordctl.client.answers["range"] = errors.Unavailable(message)
    shared = ("--endpoints", "x:1,y:2", "--timeout", "1.5")
    assert coordctl.run(*shared, "get", "/a", code=4).stderr == f"coordctl: {said}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("services", "\udcff"),
        ("get", "/a", "--endpoints", "\udcff:1"),
        ("session", "open", "--metadata", "a=\udcff"),
        ("register", "\udcff", "--address", "a", "--port", "1"),
        ("register", "a", "--address", "a", "--port", "1", "--tag", "\udcff"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_text_is_utf_8(coordctl: Coordctl, arguments: tuple[str, ...]) -> None:
    assert "\\xff" in (stderr := coordctl.run(*arguments, code=2).stderr)
    assert "is not UTF-8" in stderr


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
