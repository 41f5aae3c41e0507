"""How calls fail on the wire, what exception that becomes, and when a call may be sent again.

Everything here is decided from values alone: both faces of the client use it and neither adds to it.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from coordinator_client import errors

DOMAIN = "coordinator"
DETAILS_KEY = "grpc-status-details-bin"

# What gRPC says when it found no connection to send on. A call that ends so never left this process.
NEVER_SENT_PREFIXES = ("failed to connect to all addresses", "DNS resolution failed")
# What `grpc.aio` says when it could not send a message on a stream that has ended meanwhile: it passes the stream's own
# status over.
SEND_FAILED_PREFIX = "Internal error from Core"
# What gRPC says when the message itself was too large to be taken by the server.
TOO_LARGE_PREFIXES = ("CLIENT: Sent message larger", "SERVER: Received message larger")

# Status codes with which a server ends a request only before it changed anything.
_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAUTHENTICATED,
    }
)
# Status codes that say more about the node or the way to it than about the request.
_TROUBLES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
    }
)
# A server that fails in these ways may be broken; another one may not be.
_DEFECTS = frozenset({grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS})
DEFECT_ATTEMPTS_MAX = 3

_BY_REASON: dict[str, type[errors.RequestRefused]] = {
    "FUTURE_REVISION": errors.FutureRevision,
    "SESSION_NOT_FOUND": errors.SessionNotFound,
    "SESSION_EXISTS": errors.SessionExists,
    "CLUSTER_MISMATCH": errors.ClusterMismatch,
}
# The node is busy, not the request too large.
_BUSY_REASONS = frozenset({"TOO_MANY_PROPOSALS"})
_BY_CODE: dict[grpc.StatusCode, type[errors.RequestRefused]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgument,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.LimitExceeded,
}


@dataclass(frozen=True)
class Failure:
    """How one call or stream ended, if not well."""

    code: grpc.StatusCode
    message: str = ""
    reason: str = ""
    """Of the ErrorInfo with our domain (AIP-193); empty if there was none."""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def surely_applied(self) -> bool:
        """Whether the request was carried out although the call failed."""
        return self.metadata.get("applied") == "yes"

    @property
    def surely_not_applied(self) -> bool:
        """Whether a write that ended like this surely changed nothing, now and later."""
        if self.surely_applied:
            return False
        if self.metadata.get("applied") == "no" or self.code in _REFUSALS:
            return True
        if self.code is grpc.StatusCode.UNAVAILABLE and not self.reason:
            return self.message.startswith(NEVER_SENT_PREFIXES)
        if self.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return bool(self.reason) or self.message.startswith(TOO_LARGE_PREFIXES)
        return False


class CallFailed(Exception):
    """How the input and output layer reports a failed call or an ended stream; never seen by users."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failure_from(
    code: grpc.StatusCode, message: str | None, trailing: Iterable[tuple[str, str | bytes]]
) -> Failure:
    """Returns the failure described by a status and its trailing metadata, which may say anything."""
    for key, value in trailing:
        if key == DETAILS_KEY and isinstance(value, bytes):
            found = _error_info(value)
            if found is not None:
                return Failure(code, message or "", found.reason, dict(found.metadata))
    if code is grpc.StatusCode.INTERNAL and (message or "").startswith(SEND_FAILED_PREFIX):
        return Failure(grpc.StatusCode.UNAVAILABLE, "the stream ended before a message was sent")
    return Failure(code, message or "")


def _error_info(packed: bytes) -> error_details_pb2.ErrorInfo | None:
    try:
        for detail in status_pb2.Status.FromString(packed).details:
            found = error_details_pb2.ErrorInfo()
            if detail.Unpack(found) and found.domain == DOMAIN:
                return found
    except DecodeError:
        pass
    return None


class Decision(enum.Enum):
    """What to do about a failed call."""

    RAISE = "raise"
    """The failure is about the request; every node would say the same."""
    RETRY = "retry"
    """Try another node, and go on trying until the deadline."""
    RETRY_FEW = "retry few"
    """Try another node, but not more than DEFECT_ATTEMPTS_MAX times: it may be the request after all."""
    LEAVE = "leave"
    """Raise, and use another node from now on."""


def decide(failure: Failure, *, safe: bool) -> Decision:
    """Returns whether the call may be sent again. `safe`: it may be applied twice without harm."""
    again = safe or failure.surely_not_applied
    if failure.surely_applied:
        return Decision.RAISE
    if failure.reason in _BUSY_REASONS and again:
        return Decision.RETRY
    if failure.code in _TROUBLES:
        return Decision.RETRY if again else Decision.LEAVE
    if failure.code in _DEFECTS and failure.reason != "OUTCOME_UNKNOWN":
        return Decision.RETRY_FEW if again else Decision.LEAVE
    if failure.reason == "OUTCOME_UNKNOWN" and safe:
        return Decision.RETRY
    return Decision.RAISE


def error_of(failure: Failure, *, safe: bool) -> errors.CoordinatorError:
    """Returns the exception that the program gets. `safe`: nothing is at stake if it was applied."""
    if failure.surely_applied:
        return errors.ReplyTooLarge(failure.message)
    if not safe and not failure.surely_not_applied:
        return errors.OutcomeUnknown(
            f"the write may or may not have been applied: {failure.message or failure.code.name}"
        )
    message = failure.message or failure.code.name
    if failure.code is grpc.StatusCode.DEADLINE_EXCEEDED and safe:
        return errors.DeadlineExceeded(message)
    if failure.code in _TROUBLES or failure.reason in _BUSY_REASONS:
        return errors.Unavailable(message)
    if failure.reason == "COMPACTED":
        return errors.Compacted(
            message, _number(failure.metadata), failure.reason, failure.metadata
        )
    kind = _BY_REASON.get(failure.reason) or _BY_CODE.get(failure.code)
    if kind is None and failure.code not in _REFUSALS:
        return errors.CoordinatorError(f"{failure.code.name}: {message}")
    return (kind or errors.RequestRefused)(message, failure.reason, failure.metadata)


# --- numbered writes ------------------------------------------------------------------------------

# How the state machine answers a command that it looked at. Under a number, that is the outcome of every attempt.
_VERDICTS = frozenset(
    {
        "COMPACTED",
        "DUPLICATE_KEY",
        "SEQUENCE_EXHAUSTED",
        "SESSION_NOT_FOUND",
        "TOO_MUCH_WORK",
    }
)
_CROWDED_REASON = "REQUEST_WINDOW"


class NumberedDecision(enum.Enum):
    """What to do about an attempt of a numbered write that failed."""

    RAISE = "raise"
    """Its outcome is settled, or no node will ever know it."""
    RETRY = "retry"
    """Send it under the same number, to another node."""
    LEAVE = "leave"
    """Raise, and use another node from now on."""
    NUMBER_AGAIN = "number again"
    """It was surely not applied, and this number is of no use any more: send it under another one."""


def is_forgotten(failure: Failure) -> bool:
    """Whether the session that numbered the write ended: whatever becomes of it has become of it by now."""
    return failure.reason == "OUTCOME_UNKNOWN" and "session" in failure.metadata


def changed_nothing(failure: Failure) -> bool:
    """Whether this attempt of a numbered write surely changed nothing, now and later."""
    return is_forgotten(failure) or failure.surely_not_applied


def decide_numbered(failure: Failure, *, uncertain: bool, attempts: int) -> NumberedDecision:
    """Returns what to do about an attempt; `uncertain`: this or an earlier one may have been applied, or may be yet.

    While that is so the write keeps its number, under which it can't apply twice. That the cluster keeps too much of
    other writes to take this one is no reason to wait under the same number, if that can be avoided: what is kept of
    later numbers stays as long as this one is open.
    """
    if is_forgotten(failure):
        return NumberedDecision.RAISE if uncertain else NumberedDecision.NUMBER_AGAIN
    if failure.reason == _CROWDED_REASON:
        return NumberedDecision.RETRY if uncertain else NumberedDecision.NUMBER_AGAIN
    match decide(failure, safe=True):
        case Decision.RETRY_FEW if attempts >= DEFECT_ATTEMPTS_MAX:
            return NumberedDecision.LEAVE
        case Decision.RETRY | Decision.RETRY_FEW:
            return NumberedDecision.RETRY
        case _:
            return NumberedDecision.RAISE


def error_of_numbered(failure: Failure, *, uncertain: bool) -> errors.CoordinatorError:
    """Returns the exception for a numbered write whose last attempt failed so; `uncertain` as in `decide_numbered`."""
    if failure.surely_applied or failure.reason in _VERDICTS or not uncertain:
        return error_of(failure, safe=False)
    return errors.OutcomeUnknown(
        f"the write may or may not have been applied: {failure.message or failure.code.name}"
    )


def _number(metadata: Mapping[str, str]) -> int:
    text = metadata.get("compacted_revision", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


class Backoff:
    """Pauses between attempts: none while other endpoints are left to try, then growing, with jitter."""

    FIRST_S = 0.05
    LAST_S = 1.0

    def __init__(self, endpoint_count: int) -> None:
        self._free = endpoint_count - 1
        self._endpoint_count = endpoint_count
        self._pause_s = self.FIRST_S

    def next_s(self) -> float:
        """Returns how long to wait before the next attempt, in seconds."""
        if self._free > 0:
            self._free -= 1
            return 0.0
        self._free = self._endpoint_count - 1
        pause, self._pause_s = self._pause_s, min(self._pause_s * 2, self.LAST_S)
        return pause * random.uniform(0.5, 1.0)


def attempt_timeout_s(
    remaining_s: float, timeout_s: float, *, safe: bool, endpoint_count: int
) -> float:
    """Returns how long one attempt may take.

    A call that may be sent twice gives up on a silent node early enough to ask another one; a write does not,
    because that would only turn a slow success into an unknown outcome.
    """
    share = max(1.0, timeout_s * 0.4)
    if not safe or endpoint_count == 1 or remaining_s < 2 * share:
        return remaining_s
    return share
