"""Streams against a real etcd and a node of ours: what is told, and in which order, is the same."""

from __future__ import annotations

from typing import Any

import pytest

from coordinator.gateways.etcd.pb import concurrency_pb2, kv_pb2, lease_pb2, watch_pb2
from tests.etcd import peers
from tests.etcd.comparison import Told
from tests.etcd.remote import Remote, Watching, plain
from tests.etcd.requests import delete, put, txn

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not peers.installed(), reason="there is no etcd here: make test-etcd"),
]
KV = "etcdserverpb.KV"


def write(remote: Remote, key: bytes, value: bytes = b"") -> None:
    assert remote.call(f"{KV}/Put", put(key, value))[0] == "OK"


def said(response: watch_pb2.WatchResponse) -> dict[str, Any]:
    """Returns a response whose revision does not depend on when it was made."""
    return plain(response)


def ids_and_refusals(remote: Remote) -> list[Any]:
    watch, told = Watching(remote), []
    for fields in (
        {"key": b"i1"},
        {"key": b"i2", "watch_id": 9},
        {"key": b"i3", "watch_id": 9},
        {"key": b"i4"},
        {"key": b"i5", "range_end": b"i5"},
        {"key": b"i6", "range_end": b"i1"},
        {"key": b"", "range_end": b""},
        {"key": b"i7", "range_end": b"\0", "filters": [0, 1]},
        {"key": b"i8", "start_revision": 1_000},
        {"key": b"i9", "watch_id": -7},
    ):
        watch.create(**fields)
        told.append(said(watch.next()))
    watch.cancel(404)
    watch.cancel(9)
    told.append(said(watch.next()))
    watch.create(key=b"i2", watch_id=9)
    told.append(said(watch.next()))
    watch.cancel(0)
    told.append(said(watch.next()))
    watch.create(key=b"i1")
    told.append(said(watch.next()))
    watch.close()
    return told


def filters_and_previous_keys(remote: Remote) -> list[Any]:
    watch, told = Watching(remote), Told()
    watch.create(key=b"f", range_end=b"g", prev_kv=True)
    watch.create(key=b"f", range_end=b"g", filters=[0])
    watch.create(key=b"f", range_end=b"g", filters=[1])
    watch.create(key=b"f1", prev_kv=True)
    for _ in range(4):
        told.take(watch.next())
    write(remote, b"f1", b"1")
    write(remote, b"f1", b"2")
    remote.call(f"{KV}/Txn", txn((), (put(b"f2"), delete(b"f1"), put(b"f3"))))
    remote.call(f"{KV}/DeleteRange", delete(b"f", b"g"))
    write(remote, b"f}")
    while not (told.ended(0) and told.ended(2)):
        told.take(watch.next())
    watch.close()
    return [told.of(number) for number in (0, 2)]


def compaction(remote: Remote) -> list[Any]:
    revisions = []
    for number in range(5):
        write(remote, b"c", b"%d" % number)
        revisions.append(remote.revision())
    request = kv_pb2.CompactionRequest(revision=revisions[2])
    assert remote.call(f"{KV}/Compact", request)[0] == "OK"
    watch = Watching(remote)
    watch.create(key=b"c", start_revision=revisions[0])
    created, ended = watch.next(), watch.next()
    assert ended.compact_revision in (revisions[2], revisions[2] + 1)
    found = [created.created, created.canceled, ended.created, ended.canceled, ended.cancel_reason]
    watch.create(key=b"c", start_revision=revisions[2] + 1)
    told = [said(watch.next())["created"]]
    values: list[bytes] = []
    while len(values) < 2:
        values += [event.kv.value for event in watch.next().events]
    watch.close()
    return [found, told, values]


def progress(remote: Remote) -> list[Any]:
    watch = Watching(remote)
    watch.create(key=b"p")
    watch.next()
    write(remote, b"other")
    watch.ask_progress()
    response = watch.next()
    watch.close()
    return [said(response), response.header.revision == remote.revision()]


def the_future(remote: Remote) -> list[Any]:
    watch, start = Watching(remote), remote.revision() + 3
    watch.create(key=b"u", start_revision=start)
    told = [said(watch.next())]
    for number in range(4):
        write(remote, b"u", b"%d" % number)
    values: list[bytes] = []
    while len(values) < 2:
        values += [event.kv.value for event in watch.next().events]
    watch.close()
    return [told, values]


def fragments(remote: Remote) -> list[Any]:
    watch = Watching(remote)
    watch.create(key=b"z", range_end=b"{", fragment=True)
    watch.create(key=b"z", range_end=b"{")
    for _ in range(2):
        watch.next()
    for number in range(3):
        write(remote, b"z%d" % number, b"x" * 1_200_000)
    remote.call(f"{KV}/DeleteRange", delete(b"z", b"{"))
    seen: dict[int, list[tuple[int, bytes]]] = {0: [], 1: []}
    while any(len(events) < 6 for events in seen.values()):
        response = watch.next()
        seen[response.watch_id] += [(event.type, event.kv.key) for event in response.events]
    watch.close()
    return [seen[0], seen[1]]


def keep_alives(remote: Remote) -> list[Any]:
    grant = lease_pb2.LeaseGrantRequest(TTL=500, ID=77)
    assert remote.call("etcdserverpb.Lease/LeaseGrant", grant)[0] == "OK"
    answers = []
    for lease in (77, 78, 0):
        request = lease_pb2.LeaseKeepAliveRequest(ID=lease)
        answers.append(remote.stream("etcdserverpb.Lease/LeaseKeepAlive", request))
    return answers


def observers(remote: Remote) -> list[Any]:
    request = concurrency_pb2.CampaignRequest(name=b"o", lease=77, value=b"one")
    assert remote.call("v3electionpb.Election/Campaign", request)[0] == "OK"
    stub: Any = remote.channel.stream_stream(
        "/v3electionpb.Election/Observe",
        request_serializer=concurrency_pb2.LeaderRequest.SerializeToString,
        response_deserializer=concurrency_pb2.LeaderResponse.FromString,
    )
    call = stub(iter([concurrency_pb2.LeaderRequest(name=b"o")]), timeout=20)
    told = [plain(next(call))["kv"]]
    again = concurrency_pb2.CampaignRequest(name=b"o", lease=77, value=b"two")
    assert remote.call("v3electionpb.Election/Campaign", again)[0] == "OK"
    told.append(plain(next(call))["kv"])
    call.cancel()
    return told


PARTS = (
    ids_and_refusals,
    filters_and_previous_keys,
    compaction,
    progress,
    the_future,
    fragments,
    keep_alives,
    observers,
)


def test_streams_tell_the_same(pair: tuple[Remote, Remote]) -> None:
    theirs, ours = pair
    for part in PARTS:
        expected, found = part(theirs), part(ours)
        assert found == expected, part.__name__
        assert ours.revision() == theirs.revision(), part.__name__
