"""Messages as JSON."""

from __future__ import annotations

import json

import pytest

from coordinator.errors import RequestError, Status
from coordinator.gateways.etcd.json_calls import HTTP_STATUS, failure, read_message, to_json
from coordinator.gateways.etcd.pb import kv_pb2, mvcc_pb2, watch_pb2
from coordinator.pieces import Pieced


def test_names_of_either_kind_numbers_as_text_and_enums_by_name() -> None:
    text = (
        b'{"key": "Zm9v", "rangeEnd": "AA==", "sort_order": "DESCEND", "limit": "3", "other": {}}'
    )
    assert read_message(text, kv_pb2.RangeRequest) == kv_pb2.RangeRequest(
        key=b"foo", range_end=b"\0", sort_order="DESCEND", limit=3
    )
    header = mvcc_pb2.ResponseHeader(revision=1 << 60)
    assert to_json(kv_pb2.PutResponse(header=header), kv_pb2.PutResponse) == {
        "header": {"revision": str(1 << 60)}
    }
    event = mvcc_pb2.Event(kv=mvcc_pb2.KeyValue(key=b"foo", mod_revision=2))
    events = watch_pb2.WatchEvents(events=[event]).SerializeToString()
    notice = Pieced(watch_pb2.WatchResponse(watch_id=1), [events])
    assert to_json(notice, watch_pb2.WatchResponse) == {
        "watch_id": "1",
        "events": [{"kv": {"key": "Zm9v", "mod_revision": "2"}}],
    }


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nonsense",
        b"[]",
        b'{"key": 5}',
        b'{"key": "%"}',
        b'{"limit": "many"}',
        b'{"key"',
        b"\xff",
        b'{"key": ' + b"[" * 5_000,
    ],
)
def test_what_is_refused(text: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        read_message(text, kv_pb2.RangeRequest)
    assert caught.value.status is Status.INVALID_ARGUMENT


def test_bytes_within_are_looked_at_too() -> None:
    text = b'{"success": [{"requestPut": {"key": "Zm9v"}}, {"request_put": {"key": "?"}}]}'
    with pytest.raises(RequestError, match="key: illegal base64 data"):
        read_message(text, kv_pb2.TxnRequest)


def test_every_status_has_one_of_http() -> None:
    assert set(HTTP_STATUS) == set(Status)
    answer = failure(RequestError(Status.NOT_FOUND, "ETCD", "not there"))
    assert answer.status == 404 and answer.text is not None
    assert json.loads(answer.text) == {"error": "not there", "message": "not there", "code": 5}
