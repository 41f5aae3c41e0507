"""What both hosts keep to."""

from __future__ import annotations

from google.rpc import error_details_pb2, status_pb2

from coordinator.config import Limits
from coordinator.errors import RequestError, Status
from coordinator.wire import terms


def test_sizes() -> None:
    assert terms.receive_size_bytes_max(Limits()) == 3 * 1024 * 1024
    assert terms.receive_size_bytes_max(Limits(request_size_bytes_max=1)) == 2 * 1024 * 1024
    assert terms.send_size_bytes_max(Limits()) == 56 * 1024 * 1024


def test_details_of_an_error() -> None:
    error = RequestError(Status.ABORTED, "WHY", "so", {"a": "b"})
    status = status_pb2.Status.FromString(terms.status_details(error))
    detail = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(detail)
    assert (status.code, status.message, detail.reason) == (10, "so", "WHY")
    assert (detail.domain, dict(detail.metadata)) == ("coordinator", {"a": "b"})


def test_errors_in_groups() -> None:
    error = RequestError(Status.ABORTED, "WHY", "so")
    inner = BaseExceptionGroup("", [error, ValueError()])
    assert terms.only_request_error(BaseExceptionGroup("", [inner])) is error
    assert terms.only_request_error(BaseExceptionGroup("", [ValueError(), error])) is None
