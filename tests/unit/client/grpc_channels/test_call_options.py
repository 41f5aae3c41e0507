"""What a program says about a call."""

from __future__ import annotations

import pytest

from coordinator_client.grpc_channels.call_options import CallOptions


def test_the_time_that_remains_is_passed_on() -> None:
    remaining_s = CallOptions(5, None, None, True, None).arguments()["timeout"]
    assert 4 < remaining_s <= 5
    assert CallOptions(None, None, None, True, None).arguments()["timeout"] is None


def test_a_call_does_not_wait_for_the_instance_that_it_got() -> None:
    assert CallOptions(None, None, None, True, None).arguments()["wait_for_ready"] is False


@pytest.mark.parametrize(
    ("metadata", "name", "key"),
    [
        (None, "user", b""),
        ([("user", "me")], None, b""),
        ([("a", "b"), ("user", "me"), ("user", "you")], "user", "me"),
        ((("user-bin", b"\x00"),), "user-bin", b"\x00"),
        ([("other", "me")], "user", b""),
    ],
)
def test_the_key_is_a_metadata_entry(metadata: object, name: str | None, key: str | bytes) -> None:
    assert CallOptions(None, metadata, None, None, None).key(name) == key
