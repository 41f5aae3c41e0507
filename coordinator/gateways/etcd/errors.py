"""The errors of etcd's API: clients match on their codes and on their texts, so both are etcd's own.

See `rpctypes` of etcd's client library. `reason` and `details` are ours, for clients of either kind.
"""

from __future__ import annotations

from coordinator.errors import RequestError, Status
from coordinator.state.results import Code, Failure

_PREFIX = "etcdserver: "


class EtcdError(RequestError):
    """An error of etcd's API."""

    def __init__(self, status: Status, text: str, reason: str = "ETCD") -> None:
        super().__init__(status, reason, _PREFIX + text)


def empty_key() -> EtcdError:
    return EtcdError(Status.INVALID_ARGUMENT, "key is not provided")


def key_not_found() -> EtcdError:
    return EtcdError(Status.INVALID_ARGUMENT, "key not found")


def value_provided() -> EtcdError:
    return EtcdError(Status.INVALID_ARGUMENT, "value is provided")


def lease_provided() -> EtcdError:
    return EtcdError(Status.INVALID_ARGUMENT, "lease is provided")


def too_many_ops() -> EtcdError:
    return EtcdError(Status.INVALID_ARGUMENT, "too many operations in txn request")


def duplicate_key() -> EtcdError:
    return EtcdError(Status.INVALID_ARGUMENT, "duplicate key given in txn request")


def request_too_large() -> EtcdError:
    return EtcdError(Status.INVALID_ARGUMENT, "request is too large")


def lease_not_found() -> EtcdError:
    return EtcdError(Status.NOT_FOUND, "requested lease not found")


def lease_exists() -> EtcdError:
    return EtcdError(Status.FAILED_PRECONDITION, "lease already exists")


def lease_ttl_too_large() -> EtcdError:
    return EtcdError(Status.OUT_OF_RANGE, "too large lease TTL")


def compacted() -> EtcdError:
    return EtcdError(Status.OUT_OF_RANGE, "mvcc: required revision has been compacted")


def future_revision() -> EtcdError:
    return EtcdError(Status.OUT_OF_RANGE, "mvcc: required revision is a future revision")


def no_space() -> EtcdError:
    return EtcdError(Status.RESOURCE_EXHAUSTED, "mvcc: database space exceeded")


def too_many_requests() -> EtcdError:
    return EtcdError(Status.RESOURCE_EXHAUSTED, "too many requests")


def no_leader() -> EtcdError:
    return EtcdError(Status.UNAVAILABLE, "no leader")


def timed_out() -> EtcdError:
    return EtcdError(Status.UNAVAILABLE, "request timed out")


def stopped() -> EtcdError:
    return EtcdError(Status.UNAVAILABLE, "server stopped")


def not_leader() -> EtcdError:
    return EtcdError(Status.FAILED_PRECONDITION, "not leader")


_FAILURES = {
    Code.COMPACTED: compacted,
    Code.FUTURE_REVISION: future_revision,
    Code.SESSION_NOT_FOUND: lease_not_found,
    Code.SESSION_EXISTS: lease_exists,
    Code.DUPLICATE_KEY: duplicate_key,
    Code.KEY_NOT_FOUND: key_not_found,
}


def bad_transferee() -> EtcdError:
    return EtcdError(Status.FAILED_PRECONDITION, "bad leader transferee")


def error(failure: Failure) -> RequestError:
    """Returns the exception for a failure that the state machine answered with."""
    make = _FAILURES.get(failure.code)
    if make is not None:
        return make()
    return EtcdError(Status.RESOURCE_EXHAUSTED, failure.message, failure.code.name)


def outcome_unknown() -> EtcdError:
    return EtcdError(
        Status.UNAVAILABLE,
        "request timed out, possibly due to previous leader failure",
        "OUTCOME_UNKNOWN",
    )


_REASONS = {
    "NO_LEADER": timed_out,
    "STOPPING": stopped,
    "SPACE_QUOTA": no_space,
    "TOO_MANY_PROPOSALS": too_many_requests,
    "OUTCOME_UNKNOWN": outcome_unknown,
}


def translate(error: RequestError) -> RequestError:
    """Returns what an etcd would say in place of an error of the node's."""
    if isinstance(error, EtcdError):
        return error
    make = _REASONS.get(error.reason)
    return error if make is None else make()
