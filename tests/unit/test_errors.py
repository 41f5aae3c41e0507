"""The tree of errors, and their statuses."""

from __future__ import annotations

import grpc

from coordinator.errors import (
    ConfigError,
    CoordinatorError,
    DamageError,
    FatalError,
    OutcomeUnknown,
    RequestError,
    Status,
)


def test_the_tree() -> None:
    assert issubclass(DamageError, FatalError)
    assert issubclass(OutcomeUnknown, RequestError)
    for error in (ConfigError, FatalError, RequestError):
        assert issubclass(error, CoordinatorError)


def test_statuses_are_those_of_grpc() -> None:
    codes = {code.name: code.value[0] for code in grpc.StatusCode}
    assert {s.name: s.value for s in Status}.items() <= codes.items()


def test_an_unknown_outcome_is_told_as_such() -> None:
    error = OutcomeUnknown("who knows")
    assert error.status is Status.UNKNOWN and error.reason == "OUTCOME_UNKNOWN"
    assert str(error) == "who knows"
