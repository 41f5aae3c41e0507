from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from coordinator_client import errors
from coordinator_client.failures import (
    DETAILS_KEY,
    Backoff,
    Decision,
    Failure,
    NumberedDecision,
    attempt_timeout_s,
    changed_nothing,
    decide,
    decide_numbered,
    error_of,
    error_of_numbered,
    failure_from,
    is_forgotten,
)

Code = grpc.StatusCode
REFUSED = "failed to connect to all addresses; last error: connect failed"


def packed(domain: str = "coordinator", **metadata: str) -> bytes:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="COMPACTED", domain=domain, metadata=metadata))
    return bytes(status_pb2.Status(code=11, details=[detail]).SerializeToString())


def test_details_are_read_from_the_trailing_metadata() -> None:
    trailing: list[tuple[str, str | bytes]] = [
        ("other", "x"),
        (DETAILS_KEY, packed(compacted_revision="12")),
    ]
    failure = failure_from(Code.OUT_OF_RANGE, "gone", trailing)
    assert failure == Failure(Code.OUT_OF_RANGE, "gone", "COMPACTED", {"compacted_revision": "12"})
    error = error_of(failure, safe=True)
    assert isinstance(error, errors.Compacted)
    assert error.compacted_revision == 12


@pytest.mark.parametrize("value", [b"\xff\xff", b"", packed(domain="example.com"), "text"])
def test_foreign_or_broken_details_are_passed_over(value: str | bytes) -> None:
    failure = failure_from(Code.OUT_OF_RANGE, None, [(DETAILS_KEY, value)])
    assert failure == Failure(Code.OUT_OF_RANGE)


def test_a_message_that_could_not_be_sent_says_that_the_node_is_not_there() -> None:
    failure = failure_from(Code.INTERNAL, "Internal error from Core", [])
    assert failure.code is Code.UNAVAILABLE and not failure.surely_not_applied
    assert failure_from(Code.INTERNAL, "internal error", []).code is Code.INTERNAL


@pytest.mark.parametrize("number", ["", "-1", "1e3", "²", "9" * 30])
def test_a_nonsense_revision_is_no_revision(number: str) -> None:
    failure = Failure(Code.OUT_OF_RANGE, "", "COMPACTED", {"compacted_revision": number})
    error = error_of(failure, safe=True)
    assert isinstance(error, errors.Compacted)
    assert error.compacted_revision == 0


@pytest.mark.parametrize(
    ("failure", "applied"),
    [
        (Failure(Code.UNAVAILABLE, REFUSED), "no"),
        (Failure(Code.UNAVAILABLE, "DNS resolution failed for a:1"), "no"),
        (Failure(Code.UNAVAILABLE, "", "NO_LEADER", {"applied": "no"}), "no"),
        (Failure(Code.RESOURCE_EXHAUSTED, "", "LIMIT_EXCEEDED"), "no"),
        (Failure(Code.RESOURCE_EXHAUSTED, "CLIENT: Sent message larger than max (9 vs. 1)"), "no"),
        (Failure(Code.INVALID_ARGUMENT), "no"),
        (Failure(Code.NOT_FOUND), "no"),
        (Failure(Code.UNAVAILABLE, "Socket closed"), "perhaps"),
        (Failure(Code.UNAVAILABLE, REFUSED, "NO_LEADER"), "perhaps"),
        (Failure(Code.UNAVAILABLE), "perhaps"),
        (Failure(Code.DEADLINE_EXCEEDED), "perhaps"),
        (Failure(Code.CANCELLED), "perhaps"),
        (Failure(Code.INTERNAL), "perhaps"),
        (Failure(Code.UNKNOWN, "", "OUTCOME_UNKNOWN"), "perhaps"),
        (Failure(Code.RESOURCE_EXHAUSTED, "CLIENT: Received message larger"), "perhaps"),
        (Failure(Code.RESOURCE_EXHAUSTED, "", "REPLY_TOO_LARGE", {"applied": "yes"}), "yes"),
        (Failure(Code.INVALID_ARGUMENT, "", "ODD", {"applied": "yes"}), "yes"),
    ],
)
def test_a_write_is_sent_again_only_if_it_was_surely_not_applied(
    failure: Failure, applied: str
) -> None:
    assert failure.surely_not_applied == (applied == "no")
    decision, error = decide(failure, safe=False), error_of(failure, safe=False)
    match applied:
        case "no":
            assert not isinstance(error, errors.OutcomeUnknown | errors.DeadlineExceeded)
        case "perhaps":
            assert decision in (Decision.RAISE, Decision.LEAVE)
            assert isinstance(error, errors.OutcomeUnknown)
        case "yes":
            assert decision is Decision.RAISE
            assert isinstance(error, errors.ReplyTooLarge)


@pytest.mark.parametrize(
    ("failure", "safe", "decision"),
    [
        (Failure(Code.UNAVAILABLE, "Socket closed"), True, Decision.RETRY),
        (Failure(Code.UNAVAILABLE, "Socket closed"), False, Decision.LEAVE),
        (Failure(Code.UNAVAILABLE, REFUSED), False, Decision.RETRY),
        (Failure(Code.DEADLINE_EXCEEDED), True, Decision.RETRY),
        (Failure(Code.DEADLINE_EXCEEDED), False, Decision.LEAVE),
        (Failure(Code.INTERNAL), True, Decision.RETRY_FEW),
        (Failure(Code.INTERNAL), False, Decision.LEAVE),
        (Failure(Code.UNKNOWN, "", "OUTCOME_UNKNOWN"), True, Decision.RETRY),
        (Failure(Code.UNKNOWN, "", "OUTCOME_UNKNOWN"), False, Decision.RAISE),
        (
            Failure(Code.RESOURCE_EXHAUSTED, "", "TOO_MANY_PROPOSALS", {"applied": "no"}),
            False,
            Decision.RETRY,
        ),
        (
            Failure(Code.RESOURCE_EXHAUSTED, "", "LIMIT_EXCEEDED", {"applied": "no"}),
            True,
            Decision.RAISE,
        ),
        (Failure(Code.INVALID_ARGUMENT), True, Decision.RAISE),
        (Failure(Code.NOT_FOUND, "", "SESSION_NOT_FOUND"), True, Decision.RAISE),
    ],
)
def test_decisions(failure: Failure, safe: bool, decision: Decision) -> None:
    assert decide(failure, safe=safe) is decision


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure(Code.NOT_FOUND, "", "SESSION_NOT_FOUND"), errors.SessionNotFound),
        (Failure(Code.ALREADY_EXISTS, "", "SESSION_EXISTS"), errors.SessionExists),
        (Failure(Code.OUT_OF_RANGE, "", "FUTURE_REVISION"), errors.FutureRevision),
        (Failure(Code.FAILED_PRECONDITION, "", "CLUSTER_MISMATCH"), errors.ClusterMismatch),
        (Failure(Code.INVALID_ARGUMENT, "", "DUPLICATE_KEY"), errors.InvalidArgument),
        (Failure(Code.RESOURCE_EXHAUSTED, "", "LIMIT_EXCEEDED"), errors.LimitExceeded),
        (Failure(Code.FAILED_PRECONDITION), errors.RequestRefused),
        (Failure(Code.UNIMPLEMENTED), errors.RequestRefused),
        (Failure(Code.UNAVAILABLE, REFUSED), errors.Unavailable),
        (Failure(Code.UNAVAILABLE, "", "NO_LEADER", {"applied": "no"}), errors.Unavailable),
        (
            Failure(Code.RESOURCE_EXHAUSTED, "", "TOO_MANY_PROPOSALS", {"applied": "no"}),
            errors.Unavailable,
        ),
        (Failure(Code.DEADLINE_EXCEEDED), errors.DeadlineExceeded),
        (Failure(Code.INTERNAL, "oh"), errors.CoordinatorError),
    ],
)
def test_what_the_program_gets(failure: Failure, kind: type[Exception]) -> None:
    assert type(error_of(failure, safe=True)) is kind


def test_pauses_begin_after_every_endpoint_had_its_turn_and_grow() -> None:
    backoff = Backoff(3)
    pauses = [backoff.next_s() for _ in range(24)]
    assert pauses[0] == pauses[1] == pauses[3] == pauses[4] == 0
    between = pauses[2::3]
    for number, pause in enumerate(between):
        full = min(Backoff.FIRST_S * 2**number, Backoff.LAST_S)
        assert full / 2 <= pause <= full
    assert Backoff(1).next_s() > 0


def test_only_safe_calls_give_up_on_a_silent_node_early() -> None:
    assert attempt_timeout_s(5.0, 5.0, safe=True, endpoint_count=3) == 2.0
    assert attempt_timeout_s(3.0, 5.0, safe=True, endpoint_count=3) == 3.0
    assert attempt_timeout_s(5.0, 5.0, safe=False, endpoint_count=3) == 5.0
    assert attempt_timeout_s(5.0, 5.0, safe=True, endpoint_count=1) == 5.0
    assert attempt_timeout_s(0.5, 0.5, safe=True, endpoint_count=3) == 0.5


# --- numbered writes ------------------------------------------------------------------------------

LOST = Failure(Code.UNAVAILABLE, "Socket closed")
UNKNOWN = Failure(Code.UNKNOWN, "", "OUTCOME_UNKNOWN")
FORGOTTEN = Failure(Code.UNKNOWN, "", "OUTCOME_UNKNOWN", {"session": "7"})
CROWDED = Failure(Code.RESOURCE_EXHAUSTED, "", "REQUEST_WINDOW")
NO_LEADER = Failure(Code.UNAVAILABLE, "", "NO_LEADER", {"applied": "no"})
LIMIT = Failure(Code.RESOURCE_EXHAUSTED, "", "LIMIT_EXCEEDED", {"applied": "no"})
VERDICT = Failure(Code.NOT_FOUND, "", "SESSION_NOT_FOUND", {"session": "9"})
TOO_LARGE = Failure(Code.RESOURCE_EXHAUSTED, "", "REPLY_TOO_LARGE", {"applied": "yes"})
DEFECT = Failure(Code.INTERNAL)


def test_only_the_end_of_the_session_is_forgotten() -> None:
    assert is_forgotten(FORGOTTEN)
    assert not any(is_forgotten(failure) for failure in (UNKNOWN, VERDICT, LOST, CROWDED))


@pytest.mark.parametrize(
    ("failure", "certain", "uncertain"),
    [
        (LOST, None, "RETRY"),
        (UNKNOWN, None, "RETRY"),
        (DEFECT, None, "RETRY"),
        (NO_LEADER, "RETRY", "RETRY"),
        (FORGOTTEN, "NUMBER_AGAIN", "RAISE"),
        (CROWDED, "NUMBER_AGAIN", "RETRY"),
        (LIMIT, "RAISE", "RAISE"),
        (VERDICT, "RAISE", "RAISE"),
    ],
)
def test_a_write_that_may_have_been_applied_keeps_its_number(
    failure: Failure, certain: str | None, uncertain: str
) -> None:
    # None: such a failure makes it uncertain.
    assert changed_nothing(failure) == (certain is not None)
    if certain is not None:
        decision = decide_numbered(failure, uncertain=False, attempts=1)
        assert decision is NumberedDecision[certain]
    decision = decide_numbered(failure, uncertain=True, attempts=1)
    assert decision is NumberedDecision[uncertain]


def test_a_defect_is_not_asked_about_for_ever() -> None:
    assert decide_numbered(DEFECT, uncertain=True, attempts=3) is NumberedDecision.LEAVE
    assert decide_numbered(LOST, uncertain=True, attempts=300) is NumberedDecision.RETRY


@pytest.mark.parametrize(
    ("failure", "certain", "uncertain"),
    [
        (NO_LEADER, errors.Unavailable, errors.OutcomeUnknown),
        (LIMIT, errors.LimitExceeded, errors.OutcomeUnknown),
        (CROWDED, errors.LimitExceeded, errors.OutcomeUnknown),
        (VERDICT, errors.SessionNotFound, errors.SessionNotFound),
        (TOO_LARGE, errors.ReplyTooLarge, errors.ReplyTooLarge),
        (LOST, errors.OutcomeUnknown, errors.OutcomeUnknown),
    ],
)
def test_a_later_refusal_does_not_speak_for_an_earlier_attempt(
    failure: Failure, certain: type[Exception], uncertain: type[Exception]
) -> None:
    assert type(error_of_numbered(failure, uncertain=False)) is certain
    assert type(error_of_numbered(failure, uncertain=True)) is uncertain
