"""Blocks of replies: what a decoder reads in them."""

from __future__ import annotations

import base64
from urllib.parse import unquote

import hpack
import pytest
from google.rpc import status_pb2

from coordinator.errors import RequestError, Status
from coordinator.wire.front import replies


def decoded(block: bytes) -> dict[str, str]:
    return {str(name): str(value) for name, value in hpack.Decoder().decode(block)}


def test_constant_blocks() -> None:
    assert decoded(replies.HEADERS) == {":status": "200", "content-type": "application/grpc"}
    assert decoded(replies.OK_TRAILERS) == {"grpc-status": "0"}
    assert decoded(replies.OK_ALONE)["grpc-status"] == "0"


@pytest.mark.parametrize("words", ["plain", "100 %", "ä€😀", "a\nb\0", "", "%41", "\ud800"])
def test_words_are_percent_encoded(words: str) -> None:
    encoded = replies.percent_encoded(words)
    assert all(0x20 <= byte < 0x7F for byte in encoded)
    expected = words.encode("utf-8", "replace").decode()
    assert unquote(encoded.decode()) == expected


def test_an_error_tells_its_details_in_both_forms() -> None:
    ending = replies.error_ending(RequestError(Status.NOT_FOUND, "NO_SUCH", "none", {"a": "b"}))
    alone, after = decoded(ending.alone), decoded(ending.after)
    assert ending.status == 5
    assert alone.pop(":status") == "200" and alone.pop("content-type") == "application/grpc"
    assert alone == after
    assert (after["grpc-status"], after["grpc-message"]) == ("5", "none")
    packed = after["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(packed + "=" * (-len(packed) % 4)))
    assert (status.code, status.message) == (5, "none")


def test_an_error_without_a_reason_has_no_details() -> None:
    ending = replies.error_ending(RequestError(Status.NOT_FOUND, "", ""))
    assert decoded(ending.after) == {"grpc-status": "5"}


def test_refusals() -> None:
    assert decoded(replies.refusal(Status.UNIMPLEMENTED, "no").block)["grpc-message"] == "no"
    unknown = decoded(replies.encoding_refusal("sn\nappy").block)
    assert unknown["grpc-accept-encoding"] == "identity, deflate, gzip"
    assert unknown["grpc-status"] == "12" and "gzip" in unknown["grpc-message"]
    wrong = replies.http_refusal(405, Status.INTERNAL, "no", (b"allow", b"POST"))
    assert decoded(wrong.block)[":status"] == "405" and decoded(wrong.block)["allow"] == "POST"
