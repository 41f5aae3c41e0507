"""The KV service of etcd, through a real gRPC server."""

from __future__ import annotations

from coordinator.gateways.etcd.pb import kv_pb2 as pb
from tests.unit.gateways.etcd.conftest import Etcd

KEY_MISSING = ("INVALID_ARGUMENT", "etcdserver: key is not provided")


async def test_put_get_and_delete(etcd: Etcd) -> None:
    written = await etcd.put(b"a", b"1")
    assert written.header.revision == 2 and written.header.raft_term == 1
    assert written.header.cluster_id and written.header.member_id == 2
    assert (await etcd.put(b"a", b"2", prev_kv=True)).prev_kv.value == b"1"
    found = await etcd.range(b"a")
    (kv,) = found.kvs
    assert (kv.value, kv.create_revision, kv.mod_revision, kv.version) == (b"2", 2, 3, 2)
    assert found.count == 1 and not found.more
    assert (await etcd.range(b"a", revision=2)).kvs[0].value == b"1"
    gone = await etcd.kv("DeleteRange", pb.DeleteRangeRequest(key=b"a", prev_kv=True))
    assert gone.deleted == 1 and gone.prev_kvs[0].value == b"2" and gone.header.revision == 4
    none = await etcd.kv("DeleteRange", pb.DeleteRangeRequest(key=b"a"))
    assert none.deleted == 0 and none.header.revision == 4


async def test_a_put_keeps_the_value_or_the_lease(etcd: Etcd) -> None:
    refused = ("INVALID_ARGUMENT", "etcdserver: key not found")
    assert await etcd.refused(etcd.put(b"a", b"", ignore_value=True)) == refused
    assert await etcd.refused(etcd.put(b"a", ignore_lease=True)) == refused
    await etcd.put(b"a", b"1")
    await etcd.put(b"a", b"", ignore_value=True)
    (kv,) = (await etcd.range(b"a")).kvs
    assert (kv.value, kv.version) == (b"1", 2)
    text = (await etcd.refused(etcd.put(b"a", b"2", ignore_value=True)))[1]
    assert text == "etcdserver: value is provided"
    text = (await etcd.refused(etcd.put(b"a", lease=7, ignore_lease=True)))[1]
    assert text == "etcdserver: lease is provided"
    missing = ("NOT_FOUND", "etcdserver: requested lease not found")
    assert await etcd.refused(etcd.put(b"a", lease=7)) == missing


async def test_what_is_refused(small_etcd: Etcd) -> None:
    etcd = small_etcd
    assert await etcd.refused(etcd.put(b"")) == KEY_MISSING
    assert await etcd.refused(etcd.range(b"")) == KEY_MISSING
    assert await etcd.refused(etcd.kv("DeleteRange", pb.DeleteRangeRequest())) == KEY_MISSING
    large = ("INVALID_ARGUMENT", "etcdserver: request is too large")
    assert await etcd.refused(etcd.put(b"a", b"v" * 10_000)) == large
    assert await etcd.refused(etcd.put(b"a" * 101)) == large
    future = "etcdserver: mvcc: required revision is a future revision"
    assert await etcd.refused(etcd.range(b"a", revision=99)) == ("OUT_OF_RANGE", future)
    await etcd.put(b"a")
    await etcd.kv("Compact", pb.CompactionRequest(revision=2))
    gone = ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted")
    assert await etcd.refused(etcd.range(b"a", revision=1)) == gone
    assert await etcd.refused(etcd.kv("Compact", pb.CompactionRequest(revision=2))) == gone


async def test_a_reply_that_is_too_large_is_refused_whole(small_etcd: Etcd) -> None:
    for number in range(50):
        await small_etcd.put(b"a%02d" % number, b"v" * 9_000)
    code, text = await small_etcd.refused(small_etcd.range(b"a", b"b"))
    assert code == "RESOURCE_EXHAUSTED" and "larger than 400000 bytes" in text
    assert (await small_etcd.range(b"a", b"b", keys_only=True)).count == 50
    purge = pb.DeleteRangeRequest(key=b"a", range_end=b"b", prev_kv=True)
    code, text = await small_etcd.refused(small_etcd.kv("DeleteRange", purge))
    assert code == "RESOURCE_EXHAUSTED" and "was carried out" in text
    assert (await small_etcd.range(b"a", b"b")).count == 0


async def test_a_transaction_says_where_it_stood(etcd: Etcd) -> None:
    await etcd.put(b"a", b"1")
    request = pb.TxnRequest(
        compare=[pb.Compare(key=b"a", target=pb.Compare.VERSION, version=1)],
        success=[
            pb.RequestOp(request_range=pb.RangeRequest(key=b"b")),
            pb.RequestOp(request_put=pb.PutRequest(key=b"b", value=b"2")),
            pb.RequestOp(request_range=pb.RangeRequest(key=b"b")),
            pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"a")),
        ],
    )
    done = await etcd.kv("Txn", request)
    assert done.succeeded and done.header.revision == 3
    before, put, after, delete = done.responses
    assert (before.response_range.header.revision, before.response_range.count) == (2, 0)
    assert put.response_put.header.revision == 3
    assert after.response_range.header.revision == 3
    assert after.response_range.kvs[0].value == b"2"
    assert delete.response_delete_range.deleted == 1
    again = await etcd.kv("Txn", request)
    assert not again.succeeded and not again.responses and again.header.revision == 3


async def test_inner_compares_look_at_the_keys_as_they_were(etcd: Etcd) -> None:
    absent = pb.Compare(key=b"a", target=pb.Compare.CREATE, create_revision=0)
    inner = pb.TxnRequest(
        compare=[absent],
        success=[pb.RequestOp(request_put=pb.PutRequest(key=b"b", value=b"absent"))],
    )
    request = pb.TxnRequest(
        success=[
            pb.RequestOp(request_put=pb.PutRequest(key=b"a")),
            pb.RequestOp(request_txn=inner),
        ]
    )
    done = await etcd.kv("Txn", request)
    assert done.responses[1].response_txn.succeeded
    assert (await etcd.range(b"b")).kvs[0].value == b"absent"


async def test_of_several_faults_the_puts_are_told_first(etcd: Etcd) -> None:
    request = pb.TxnRequest(
        success=[
            pb.RequestOp(request_range=pb.RangeRequest(key=b"a", revision=99)),
            pb.RequestOp(request_put=pb.PutRequest(key=b"a", lease=7)),
        ]
    )
    refused = await etcd.refused(etcd.kv("Txn", request))
    assert refused == ("NOT_FOUND", "etcdserver: requested lease not found")
    assert (await etcd.range(b"a")).header.revision == 1


async def test_a_transaction_that_only_reads(etcd: Etcd) -> None:
    await etcd.put(b"a", b"1")
    reading = pb.RequestOp(request_range=pb.RangeRequest(key=b"a", serializable=True))
    done = await etcd.kv("Txn", pb.TxnRequest(success=[reading]))
    assert done.responses[0].response_range.kvs[0].value == b"1" and done.header.revision == 2
    etcd.bus.quorum = False
    done = await etcd.kv("Txn", pb.TxnRequest(success=[reading]))
    assert done.responses[0].response_range.count == 1
