"""The KV service, through a real gRPC server."""

from __future__ import annotations

import grpc
import pytest

from coordinator_client.pb import common_pb2, kv_pb2
from tests.unit.api.conftest import Face, error_of


def key(name: str) -> common_pb2.Selector:
    return common_pb2.Selector(key=name.encode())


def prefix(name: str) -> common_pb2.Selector:
    return common_pb2.Selector(key=name.encode(), prefix=True)


async def put(face: Face, name: str, value: str = "v", **more: object) -> kv_pb2.PutResponse:
    request = kv_pb2.PutRequest(key=name.encode(), value=value.encode(), **more)  # type: ignore[arg-type]  # fields of the message
    response = await face.call("KV/Put", request, kv_pb2.PutResponse)
    assert isinstance(response, kv_pb2.PutResponse)
    return response


async def range_(face: Face, **fields: object) -> kv_pb2.RangeResponse:
    request = kv_pb2.RangeRequest(**fields)  # type: ignore[arg-type]  # fields of the message
    response = await face.call("KV/Range", request, kv_pb2.RangeResponse)
    assert isinstance(response, kv_pb2.RangeResponse)
    return response


async def txn(face: Face, request: kv_pb2.TxnRequest) -> kv_pb2.TxnResponse:
    response = await face.call("KV/Txn", request, kv_pb2.TxnResponse)
    assert isinstance(response, kv_pb2.TxnResponse)
    return response


def put_op(name: str, value: str = "v") -> kv_pb2.RequestOp:
    return kv_pb2.RequestOp(put=kv_pb2.PutRequest(key=name.encode(), value=value.encode()))


async def refused(coroutine: object) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coroutine  # type: ignore[misc]  # a coroutine of any type
    return error_of(caught.value)


async def test_put_get_and_delete(face: Face) -> None:
    written = await put(face, "/a", "1")
    assert written.key == b"/a" and written.header.revision == 2
    assert written.header.cluster_id and written.header.member_id == 2 and written.header.term == 1
    again = await put(face, "/a", "2", prev_kv=True)
    assert again.prev_kv.value == b"1"
    found = await range_(face, selector=key("/a"))
    (kv,) = found.kvs
    assert (kv.value, kv.create_revision, kv.mod_revision, kv.version) == (b"2", 2, 3, 2)
    assert found.count == 1 and not found.more and not found.header.local
    request = kv_pb2.DeleteRangeRequest(selector=key("/a"), prev_kv=True)
    deleted = await face.call("KV/DeleteRange", request, kv_pb2.DeleteRangeResponse)
    assert deleted.deleted == 1 and deleted.prev_kvs[0].value == b"2"
    assert deleted.header.revision == 4
    assert not (await range_(face, selector=key("/a"))).kvs


async def test_ranges_prefixes_limits_and_counts(face: Face) -> None:
    for name in ("/a/1", "/a/2", "/a/3", "/b/1"):
        await put(face, name)
    found = await range_(face, selector=prefix("/a/"), limit=2, keys_only=True)
    assert [kv.key for kv in found.kvs] == [b"/a/1", b"/a/2"]
    assert found.more and found.count == 3 and not found.kvs[0].value
    rest = await range_(face, selector=prefix("/a/"), start_after=b"/a/2")
    assert [kv.key for kv in rest.kvs] == [b"/a/3"] and not rest.more
    half_open = common_pb2.Selector(key=b"/a/2", range_end=b"/b/1")
    assert (await range_(face, selector=half_open, count_only=True)).count == 2
    open_end = common_pb2.Selector(key=b"/a/3", range_end=b"\x00")
    assert (await range_(face, selector=open_end)).count == 2
    assert (await range_(face, selector=prefix(""))).count == 4


async def test_children_of_a_path(face: Face) -> None:
    for name in ("/a/x", "/a/x/1", "/a/y/1", "/a/y/2", "/b"):
        await put(face, name)
    found = await range_(face, selector=prefix("/a/"), delimiter=b"/")
    assert [kv.key for kv in found.kvs] == [b"/a/x"]
    assert list(found.children) == [b"/a/x/", b"/a/y/"]
    assert found.count == 3
    page = await range_(face, selector=prefix("/a/"), delimiter=b"/", limit=2)
    assert page.more
    last = page.children[-1]
    rest = await range_(face, selector=prefix("/a/"), delimiter=b"/", start_after=last)
    assert list(rest.children) == [b"/a/y/"] and not rest.kvs


async def test_reads_of_the_past_and_of_no_time(face: Face) -> None:
    await put(face, "/a", "1")
    await put(face, "/a", "2")
    await put(face, "/a", "3")
    assert (await range_(face, selector=key("/a"), revision=3)).kvs[0].value == b"2"
    code, reason, details = await refused(range_(face, selector=key("/a"), revision=99))
    assert (code, reason) == (grpc.StatusCode.OUT_OF_RANGE, "FUTURE_REVISION")
    assert details["revision"] == "4"
    request = kv_pb2.CompactRequest(revision=3)
    await face.call("KV/Compact", request, kv_pb2.CompactResponse)
    code, reason, details = await refused(range_(face, selector=key("/a"), revision=2))
    assert (code, reason) == (grpc.StatusCode.OUT_OF_RANGE, "COMPACTED")
    assert details["compacted_revision"] == "3"
    compact = face.call("KV/Compact", request, kv_pb2.CompactResponse)
    assert (await refused(compact))[1] == "COMPACTED"


async def test_local_reads_are_marked_and_need_no_quorum(face: Face) -> None:
    await put(face, "/a")
    face.bus.elect(None)
    found = await range_(face, selector=key("/a"), local=True)
    assert found.kvs and found.header.local
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        stub = face.channel.unary_unary(
            "/coordinator.v1.KV/Range",
            request_serializer=kv_pb2.RangeRequest.SerializeToString,
            response_deserializer=kv_pb2.RangeResponse.FromString,
        )
        await stub(kv_pb2.RangeRequest(selector=key("/a")), timeout=0.3)
    assert caught.value.code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )


async def test_a_read_waits_for_its_revision(face: Face) -> None:
    import asyncio

    waiting = asyncio.create_task(range_(face, selector=key("/a"), local=True, min_revision=2))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await put(face, "/a")
    assert (await waiting).kvs


async def test_transactions_compare_and_run_one_branch(face: Face) -> None:
    await put(face, "/a", "1")
    compare = kv_pb2.Compare
    request = kv_pb2.TxnRequest(
        compares=[
            compare(selector=key("/a"), version=1),
            compare(selector=key("/a"), operator=compare.GREATER_OR_EQUAL, mod_revision=2),
            compare(selector=key("/a"), value=b"1"),
            compare(selector=key("/b"), exists=False),
            compare(selector=prefix("/"), operator=compare.LESS, create_revision=3),
            compare(selector=key("/a"), session=0),
        ],
        success=[
            put_op("/b", "2"),
            kv_pb2.RequestOp(range=kv_pb2.RangeRequest(selector=prefix("/"))),
            kv_pb2.RequestOp(txn=kv_pb2.TxnRequest(success=[put_op("/c")])),
            kv_pb2.RequestOp(delete_range=kv_pb2.DeleteRangeRequest(selector=key("/a"))),
        ],
        failure=[put_op("/failed")],
    )
    done = await txn(face, request)
    assert done.succeeded and done.header.revision == 3
    kinds = [r.WhichOneof("response") for r in done.responses]
    assert kinds == ["put", "range", "txn", "delete_range"]
    assert [kv.key for kv in done.responses[1].range.kvs] == [b"/a", b"/b"]
    assert done.responses[3].delete_range.deleted == 1
    again = await txn(face, request)
    assert not again.succeeded
    assert (await range_(face, selector=key("/failed"))).kvs


async def test_a_transaction_that_reads_takes_no_entry_of_the_log(face: Face) -> None:
    await put(face, "/a")
    before = len(face.bus.log)
    request = kv_pb2.TxnRequest(
        success=[kv_pb2.RequestOp(range=kv_pb2.RangeRequest(selector=key("/a")))]
    )
    done = await txn(face, request)
    assert done.responses[0].range.count == 1
    assert len(face.bus.log) == before


async def test_sequence_numbers_are_counted_per_parent(face: Face) -> None:
    names = [(await put(face, n, sequence=True)).key for n in ("/q/a-", "/q/b-", "/r/a-", "/q/")]
    assert names == [b"/q/a-0000000000", b"/q/b-0000000001", b"/r/a-0000000000", b"/q/0000000002"]


async def test_a_numbered_write_applies_once(face: Face) -> None:
    from coordinator_client.pb import session_pb2

    request = session_pb2.SessionOpenRequest(ttl_ms=10_000, id=5)
    await face.call("Session/Open", request, session_pb2.SessionOpenResponse)
    number = common_pb2.RequestId(session=5, sequence=1)
    first = await put(face, "/n", request=number)
    second = await put(face, "/n", request=number)
    assert first.header.revision == second.header.revision
    assert (await range_(face, selector=key("/n"))).kvs[0].version == 1
    later = common_pb2.RequestId(session=5, sequence=3, acknowledged_below=3)
    await put(face, "/n", request=later)
    code, reason, _ = await refused(put(face, "/n", request=number))
    assert (code, reason) == (grpc.StatusCode.UNKNOWN, "OUTCOME_UNKNOWN")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"selector": common_pb2.Selector()}, "selector.key"),
        (
            {"selector": common_pb2.Selector(key=b"a", range_end=b"b", prefix=True)},
            "selector",
        ),
        ({"selector": key("/a"), "limit": -1}, "limit"),
        ({"selector": key("/a"), "revision": -1}, "revision"),
        ({"selector": key("/a"), "min_revision": -1}, "min_revision"),
        ({"selector": key("/a"), "delimiter": b"/"}, "delimiter"),
    ],
)
async def test_bad_ranges_name_the_field(
    face: Face, request_: dict[str, object], field: str
) -> None:
    code, reason, details = await refused(range_(face, **request_))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert details["field"] == field


async def test_bad_writes_are_refused(face: Face) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert (await refused(put(face, "")))[0] == invalid
    assert (await refused(put(face, "/a", session=-1)))[0] == invalid
    assert (await refused(put(face, "/a", session=77)))[:2] == (
        grpc.StatusCode.NOT_FOUND,
        "SESSION_NOT_FOUND",
    )
    twice = kv_pb2.TxnRequest(success=[put_op("/a"), put_op("/a")])
    assert (await refused(txn(face, twice)))[1] == "DUPLICATE_KEY"
    for number in (
        common_pb2.RequestId(session=0, sequence=1),
        common_pb2.RequestId(session=1, sequence=0),
        common_pb2.RequestId(session=1, sequence=1, acknowledged_below=2),
        common_pb2.RequestId(session=1, sequence=2**64 - 1),
    ):
        assert (await refused(put(face, "/a", request=number)))[0] == invalid
    empty = kv_pb2.TxnRequest(success=[kv_pb2.RequestOp()])
    assert (await refused(txn(face, empty)))[0] == invalid
    compare = kv_pb2.Compare
    for bad in (
        compare(selector=key("/a")),
        compare(selector=key("/a"), exists=True, operator=compare.LESS),
        compare(selector=common_pb2.Selector(), version=1),
    ):
        assert (await refused(txn(face, kv_pb2.TxnRequest(compares=[bad]))))[0] == invalid
    inner = kv_pb2.RequestOp(
        put=kv_pb2.PutRequest(key=b"/a", request=common_pb2.RequestId(session=1, sequence=1))
    )
    assert (await refused(txn(face, kv_pb2.TxnRequest(success=[inner]))))[0] == invalid
    local = kv_pb2.TxnRequest(success=[put_op("/a")], local=True)
    assert (await refused(txn(face, local)))[0] == invalid
    compact = kv_pb2.CompactRequest(revision=0)
    assert (await refused(face.call("KV/Compact", compact, kv_pb2.CompactResponse)))[0] == invalid


async def test_what_crosses_a_limit_is_refused(small_face: Face) -> None:
    face = small_face
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    code, reason, details = await refused(put(face, "/a", "x" * 10_001))
    assert (code, reason) == (exhausted, "LIMIT_EXCEEDED")
    assert details == {"limit": "10000", "applied": "no"}
    assert (await refused(put(face, "/a", "x" * 50_000)))[0] == exhausted
    assert (await refused(put(face, "k" * 101)))[0] == exhausted
    await put(face, "k" * 100)
    assert (await refused(put(face, "k" * 91, sequence=True)))[0] == exhausted
    assert (await refused(range_(face, selector=key("k" * 101))))[0] == exhausted
    many = kv_pb2.TxnRequest(success=[put_op(f"/{i}") for i in range(6)])
    assert (await refused(txn(face, many)))[0] == exhausted
    deep = kv_pb2.TxnRequest(success=[put_op("/a")])
    for _ in range(2):
        deep = kv_pb2.TxnRequest(success=[kv_pb2.RequestOp(txn=deep)])
    assert (await refused(txn(face, deep)))[0] == grpc.StatusCode.INVALID_ARGUMENT
    await put(face, "/q/", sequence=True)
    await put(face, "/r/", sequence=True)
    assert (await refused(put(face, "/s/", sequence=True)))[0] == exhausted
    assert (await put(face, "/q/", sequence=True)).key == b"/q/0000000001"


async def test_a_large_range_comes_in_pages(small_face: Face) -> None:
    for i in range(20):
        await put(small_face, f"/{i:02}", "x" * 1_000)
    keys: list[bytes] = []
    pages = 0
    while True:
        page = await range_(small_face, selector=prefix("/"), start_after=keys[-1] if keys else b"")
        pages += 1
        keys += [kv.key for kv in page.kvs]
        assert page.ByteSize() < 8_000
        if not page.more:
            break
    assert keys == [f"/{i:02}".encode() for i in range(20)] and pages >= 4


async def test_a_reply_that_is_too_large_says_that_the_work_was_done(small_face: Face) -> None:
    for i in range(20):
        await put(small_face, f"/{i:02}", "x" * 1_000)
    request = kv_pb2.DeleteRangeRequest(selector=prefix("/"), prev_kv=True)
    code, reason, details = await refused(
        small_face.call("KV/DeleteRange", request, kv_pb2.DeleteRangeResponse)
    )
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "REPLY_TOO_LARGE")
    assert details["applied"] == "yes"
    assert (await range_(small_face, selector=prefix("/"))).count == 0
