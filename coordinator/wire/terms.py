"""What both hosts keep to: sizes, times, and the words in which a call ends."""

from __future__ import annotations

from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from coordinator.config import KIB, MIB, Limits
from coordinator.errors import RequestError

QUIET_S = 0.1
"""A server that stops closes its connections when no call was under way, and none came, for this long."""
REFUSING_SHARE = 0.5
"""Of the grace: how long it waits for that."""
STOP_EXCESS_S = 1.0
"""Beyond the grace: after that a server that stops waits no longer for calls to end."""
PIPELINE_MESSAGE_SIZE_BYTES_MIN = 2 * MIB
"""A message of this size is read whatever the limit of one request, as it may be a pipeline's."""
METADATA_SIZE_BYTES_MAX = 16 * KIB
KEEP_ALIVE_S = 10.0
"""A client from which nothing came for so long is asked whether it is still there, so that its streams are freed."""
KEEP_ALIVE_TIMEOUT_S = 5.0
"""How long it may take to answer."""
ERROR_DOMAIN = "coordinator"
STATUS_METADATA = "grpc-status-details-bin"
INTERNAL_WORDS = "internal error; the member's log has more"


def receive_size_bytes_max(limits: Limits) -> int:
    """Returns the size of the largest message that is read at all: one may hold many requests.

    It is somewhat more than the limit, so that what is a little too large gets our own error.
    """
    return max(2 * limits.request_size_bytes_max, PIPELINE_MESSAGE_SIZE_BYTES_MIN)


def send_size_bytes_max(limits: Limits) -> int:
    """Returns the size of the largest message that is sent."""
    return 4 * limits.txn_reply_size_bytes_max


def status_details(error: RequestError) -> bytes:
    """Returns the `google.rpc.Status` of an error, with one `google.rpc.ErrorInfo`.

    See https://google.aip.dev/193.
    """
    detail = any_pb2.Any()
    detail.Pack(
        error_details_pb2.ErrorInfo(
            reason=error.reason, domain=ERROR_DOMAIN, metadata=error.details
        )
    )
    status = status_pb2.Status(code=error.status.value, message=error.message, details=[detail])
    return bytes(status.SerializeToString())


def only_request_error(error: BaseExceptionGroup[BaseException]) -> RequestError | None:
    """Returns the error with which a task group ended a call on purpose."""
    inner: BaseException = error
    while isinstance(inner, BaseExceptionGroup) and inner.exceptions:
        inner = inner.exceptions[0]
    return inner if isinstance(inner, RequestError) else None
