"""What the end of a call tells: about the instance, and whether another instance may get the call."""

from __future__ import annotations

import grpc

__all__ = ["never_left", "verdict"]

FAILURES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,  # how gRPC servers report that a method raised something
        grpc.StatusCode.DATA_LOSS,
    }
)
"""A call that ends with one of these is a failure of its instance; any other status is an answer."""
NOT_SERIALIZED = "Exception serializing request!"
"""How grpcio says, with INTERNAL, that the program's own serializer failed."""
NOT_CONNECTED = "failed to connect to all addresses"
"""How gRPC begins the details of a call that it did not hand to any connection."""


def verdict(code: grpc.StatusCode | None, details: str | None = None) -> bool | None:
    """Returns whether the instance did well; None if the status does not tell, as that of a canceled call."""
    if code is None or code is grpc.StatusCode.CANCELLED:
        return None
    if code is grpc.StatusCode.INTERNAL and details == NOT_SERIALIZED:
        return None
    return code not in FAILURES


def never_left(code: grpc.StatusCode | None, details: str | None, target: str) -> bool:
    """Whether a status reads like the one of a call that was not sent, because nobody listens at `target`.

    Servers may pass on such a status of a call of their own, to another target. So that alone is no proof; that the
    connection to `target` is gone must come to it.
    """
    if code is not grpc.StatusCode.UNAVAILABLE or not details:
        return False
    host, _, port = target.rpartition(":")
    # Of a host name, what it resolved to is named instead, and an IPv6 address is written in another way.
    named = f":{target}:" if host.replace(".", "").isdigit() else f":{port}:"
    return details.startswith(NOT_CONNECTED) and named in details
