"""Messages of which parts are bytes already."""

from __future__ import annotations

from coordinator.gateways.etcd.pb import mvcc_pb2
from coordinator.gateways.etcd.pb import watch_pb2 as pb
from coordinator.pieces import Encoded, Pieced


def test_it_is_the_message_that_it_stands_for() -> None:
    head = pb.WatchResponse(header=mvcc_pb2.ResponseHeader(revision=7), watch_id=3)
    events = [mvcc_pb2.Event(kv=mvcc_pb2.KeyValue(key=key)) for key in (b"a", b"b")]
    parts = [pb.WatchEvents(events=[event]).SerializeToString() for event in events]
    pieced = Pieced(head, parts)
    message = pb.WatchResponse.FromString(pieced.SerializeToString())
    assert message == pb.WatchResponse(header=head.header, watch_id=3, events=events)
    assert pieced.ByteSize() == len(pieced.SerializeToString())
    assert b"".join(pieced.parts()) == pieced.SerializeToString()
    assert pieced.parts()[1:] == tuple(parts)


def test_what_is_encoded_stays_as_it_is() -> None:
    content = b"x" * 1000
    encoded = Encoded(content)
    assert encoded.SerializeToString() is content and encoded.ByteSize() == 1000
