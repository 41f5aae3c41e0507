"""What a status says."""

from __future__ import annotations

import grpc
import pytest

from coordinator_client.grpc_channels.outcomes import never_left, verdict

Code = grpc.StatusCode
REFUSED = (
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:80: "
    "Failed to connect to remote host: Connection refused"
)


@pytest.mark.parametrize("code", list(Code))
def test_failures_are_those_of_the_instance(code: Code) -> None:
    failures = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "DATA_LOSS"}
    expected = None if code is Code.CANCELLED else code.name not in failures
    assert verdict(code) is expected


def test_no_status_says_nothing() -> None:
    assert verdict(None) is None


def test_a_serializer_that_fails_is_nobodys_fault() -> None:
    assert verdict(Code.INTERNAL, "Exception serializing request!") is None
    assert verdict(Code.INTERNAL, "out of memory") is False


@pytest.mark.parametrize(
    ("code", "details", "target", "unsent"),
    [
        (Code.UNAVAILABLE, REFUSED, "10.0.0.1:80", True),
        (Code.UNAVAILABLE, REFUSED, "pay.example:80", True),
        (Code.UNAVAILABLE, REFUSED.replace("ipv4:10.0.0.1", "ipv6:%5B::1%5D"), "[::1]:80", True),
        (Code.UNAVAILABLE, REFUSED, "10.0.0.2:80", False),  # told by a server of its own call
        (Code.UNAVAILABLE, REFUSED, "110.0.0.1:80", False),
        (Code.UNAVAILABLE, REFUSED, "pay.example:81", False),
        (Code.UNAVAILABLE, "Socket closed", "10.0.0.1:80", False),
        (Code.UNAVAILABLE, None, "10.0.0.1:80", False),
        (Code.INTERNAL, REFUSED, "10.0.0.1:80", False),
        (Code.OK, "", "10.0.0.1:80", False),
    ],
)
def test_what_never_left(code: Code, details: str | None, target: str, unsent: bool) -> None:
    assert never_left(code, details, target) is unsent
