from __future__ import annotations

import inspect
import re

import pytest

from coordinator_client import errors

CLASSES = {
    name: cls
    for name, cls in vars(errors).items()
    if inspect.isclass(cls) and issubclass(cls, Exception)
}


def test_all_is_every_class() -> None:
    assert errors.__all__ == sorted(CLASSES)


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r" *([│├└─ ]*)([A-Z]\w+)(  |$)", line):
            depth = len(found[1]) // 4
            path = [*path[:depth], found[2]]
            drawn[found[2]] = path[-2] if depth else "Exception"
    assert drawn == {name: cls.__mro__[1].__name__ for name, cls in CLASSES.items()}


def test_a_refusal_carries_reason_and_details() -> None:
    error = errors.SessionNotFound("there is no session 7", "SESSION_NOT_FOUND", {"session": "7"})
    assert str(error) == error.message == "there is no session 7"
    assert (error.reason, error.details) == ("SESSION_NOT_FOUND", {"session": "7"})
    assert isinstance(error, errors.NotFound)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [(errors.InvalidArgument, ValueError), (errors.DeadlineExceeded, TimeoutError)],
)
def test_some_are_builtins_too(
    kind: type[errors.CoordinatorError], builtin: type[Exception]
) -> None:
    with pytest.raises(builtin, match="no"):
        raise kind("no")


def test_what_belongs_to_an_error_is_on_it() -> None:
    assert errors.Compacted("gone", 12).compacted_revision == 12
    assert errors.Compacted("gone", 12).reason == "COMPACTED"
    assert errors.SessionLost("lost", 7).session_id == 7
