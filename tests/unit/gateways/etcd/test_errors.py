"""Errors in etcd's words."""

from __future__ import annotations

import pytest

from coordinator.errors import OutcomeUnknown, RequestError, Status
from coordinator.gateways.etcd import errors
from coordinator.state.results import Code, Failure


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.REQUEST_FORGOTTEN])
def test_every_failure_has_an_error(code: Code) -> None:
    error = errors.error(Failure(code, "no way"))
    assert error.message.startswith("etcdserver: ")
    assert error.status is not Status.UNKNOWN


def test_errors_of_the_node() -> None:
    no_leader = RequestError(Status.UNAVAILABLE, "NO_LEADER", "no leader could do it")
    assert errors.translate(no_leader).message == "etcdserver: request timed out"
    unknown = errors.translate(OutcomeUnknown("who knows"))
    assert unknown.status is Status.UNAVAILABLE and "request timed out" in unknown.message
    other = RequestError(Status.INTERNAL, "OTHER", "else")
    assert errors.translate(other) is other
    mine = errors.empty_key()
    assert errors.translate(mine) is mine
