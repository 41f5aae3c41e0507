"""Messages of etcd's API."""

from __future__ import annotations

from coordinator.gateways.etcd import render
from coordinator.gateways.etcd.pb import mvcc_pb2
from coordinator.state.model import Event, KeyValue

KEY = KeyValue(b"a", b"1", 2, 3, 2, 7)


def test_keys_name_their_lease() -> None:
    assert render.key_value(KEY) == mvcc_pb2.KeyValue(
        key=b"a", value=b"1", create_revision=2, mod_revision=3, version=2, lease=7
    )


def test_events() -> None:
    put = render.event(Event(b"a", KEY, None), 3, True)
    assert put.type == mvcc_pb2.Event.PUT and put.kv.value == b"1" and not put.HasField("prev_kv")
    gone = render.event(Event(b"a", None, KEY), 4, True)
    assert gone.kv == mvcc_pb2.KeyValue(key=b"a", mod_revision=4)
    assert gone.type == mvcc_pb2.Event.DELETE and gone.prev_kv.value == b"1"
