"""List and Watch, through a real gRPC server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from coordinator.config import Limits
from coordinator_client.pb import common_pb2, kv_pb2
from coordinator_client.pb import registry_pb2 as pb
from tests.unit.api.conftest import SMALL, Face, serving
from tests.unit.api.test_kv import put, put_op, refused, txn
from tests.unit.api.test_registry import deregister, instance, register, set_state
from tests.unit.api.test_session import closed, opened

ADDED, CHANGED, REMOVED = pb.Change.ADDED, pb.Change.CHANGED, pb.Change.REMOVED


@pytest.fixture
async def face() -> AsyncIterator[Face]:
    async for one in serving(Limits(), follows=True):
        yield one


@pytest.fixture
async def small_face() -> AsyncIterator[Face]:
    async for one in serving(SMALL, follows=True):
        yield one


async def listed(face: Face, service: str = "", **fields: Any) -> pb.RegistryListResponse:
    request = pb.RegistryListRequest(service=service, **fields)
    response = await face.call("Registry/List", request, pb.RegistryListResponse)
    assert isinstance(response, pb.RegistryListResponse)
    return response


async def ids(face: Face, **fields: Any) -> list[str]:
    """All pages, one after the other."""
    found: list[str] = []
    token = ""
    while True:
        page = await listed(face, "pay", page_token=token, **fields)
        found += [each.id for each in page.instances]
        token = page.next_page_token
        if not token:
            return found


async def define(face: Face, *ids: str, service: str = "pay", **more: object) -> None:
    """Writes definitions without a session, all in one revision."""
    value = json.dumps({"address": "10.0.0.1", "port": 80, **more})
    ops = [put_op(f"/services/{service}/instances/{id}", value) for id in ids]
    for start in range(0, len(ops), 100):
        await txn(face, kv_pb2.TxnRequest(success=ops[start : start + 100]))


async def test_what_was_registered_is_told_as_it_was(face: Face) -> None:
    described = instance(
        ports={"admin": pb.Port(port=8081, protocol="tcp")},
        metadata={"team": "blue"},
        tags=["primary", "v2"],
        weight=7,
        zone="eu-1a",
        version="2.4.1",
        state="STATE_WARNING",
        note="queue is long",
    )
    reply = await register(face, described)
    page = await listed(face, "pay")
    described.healthy = True
    described.session = reply.session
    described.create_revision = described.mod_revision = reply.header.revision
    assert list(page.instances) == [described]
    assert page.revision >= reply.header.revision and not page.next_page_token
    await set_state(face, "STATE_CRITICAL")
    (found,) = (await listed(face, "pay")).instances
    assert (found.state, found.healthy, found.note) == (pb.STATE_CRITICAL, False, "")
    assert not (await listed(face, "nobody")).instances


async def test_checks_are_told_with_their_results(face: Face) -> None:
    check = pb.Check(tcp=pb.TcpCheck(port=81), timeout_ms=500, deregister_critical_after_ms=9)
    described = instance(checks={"tcp": check, "queue": pb.Check(ttl=pb.TtlCheck(ttl_ms=500))})
    # What a request says of results is passed over.
    described.check_results["tcp"].state = pb.STATE_PASSING
    await register(face, described)
    (found,) = (await listed(face, "pay")).instances
    assert dict(found.checks) == dict(described.checks)
    assert {name: (r.state, r.note) for name, r in found.check_results.items()} == {
        "tcp": (pb.STATE_STARTING, "no result yet"),
        "queue": (pb.STATE_CRITICAL, "nothing is reported"),
    }
    assert (found.state, found.note) == (pb.STATE_CRITICAL, "queue: nothing is reported")
    stream = watch(face)
    await stream.read()
    await put(face, "/services/pay/checks/p-1/queue", '{"state": "warning", "note": "long"}')
    (change,) = (await stream.read()).changes
    result = change.instance.check_results["queue"]
    assert (change.type, result.state, result.note) == (CHANGED, pb.STATE_WARNING, "long")
    stream.cancel()


async def test_a_check_that_makes_no_sense_is_told_as_far_as_it_does(face: Face) -> None:
    await define(face, "a", checks={"x": {"kind": "http", "url": [], "interval_ms": 1e9, "n": {}}})
    (found,) = (await listed(face, "pay")).instances
    assert found.checks["x"] == pb.Check(http=pb.HttpCheck())


async def test_an_instance_that_the_cluster_keeps_is_marked(face: Face) -> None:
    await define(face, "a")
    await put(face, "/services/pay/state/a", '{"state": "critical", "guarded": true}')
    (found,) = (await listed(face, "pay")).instances
    assert found.guarded and not found.HasField("weight")


async def test_services_are_named_with_their_numbers(face: Face) -> None:
    await define(face, "1", "2", "3")
    await define(face, "1", service="mail")
    await put(face, "/services/pay/state/2", '{"state": "critical"}')
    await put(face, "/services/empty/state/1", '{"state": "passing"}')
    page = await listed(face)
    assert [(s.name, s.instances, s.healthy) for s in page.services] == [
        ("mail", 1, 1),
        ("pay", 3, 2),
    ]
    first = await listed(face, limit=1)
    assert [s.name for s in first.services] == ["mail"] and first.next_page_token
    second = await listed(face, limit=1, page_token=first.next_page_token, local=True)
    assert [s.name for s in second.services] == ["pay"] and not second.next_page_token
    assert second.header.local


async def test_pages_are_in_order_of_registration(face: Face) -> None:
    for id in ("c", "a", "d", "b"):
        await define(face, id)
    assert await ids(face) == ["c", "a", "d", "b"]
    assert await ids(face, limit=1) == await ids(face, limit=3) == ["c", "a", "d", "b"]
    page = await listed(face, "pay", limit=2)
    await deregister(face, "a")
    await define(face, "e")
    rest = await listed(face, "pay", page_token=page.next_page_token)
    assert [each.id for each in rest.instances] == ["d", "b", "e"]
    assert not (await listed(face, "pay", limit=4)).next_page_token


async def test_pages_have_a_size_and_filters(small_face: Face) -> None:
    names = [f"i-{n:03}" for n in range(60)]
    for start in range(0, 60, 5):
        await define(
            small_face, *names[start : start + 5], zone=f"z{start // 30}", tags=["blue", "x" * 90]
        )
    page = await listed(small_face, "pay")
    assert 1 < len(page.instances) < 60 and page.ByteSize() < 6_000
    assert await ids(small_face) == names
    assert await ids(small_face, zone="z1", tag="blue") == names[30:]
    assert await ids(small_face, tag="green") == []
    await put(small_face, "/services/pay/state/i-000", '{"state": "draining"}')
    assert await ids(small_face, healthy=True) == names[1:]
    assert (await ids(small_face, healthy=True, limit=59)) == names[1:]


async def test_a_large_service_is_listed_and_watched_in_pages(face: Face) -> None:
    count = 2_500
    await define(face, *(f"i-{n}" for n in range(count)))
    page = await listed(face, "pay", limit=100_000)
    assert len(page.instances) == 1_000
    assert len(await ids(face)) == len(set(await ids(face))) == count


async def test_whoever_wrote_finds_it_here(face: Face) -> None:
    for n in range(20):
        reply = await register(face, instance(f"p-{n}"))
        assert len((await listed(face, "pay", local=True)).instances) == n + 1
        await put(face, "/elsewhere")
        page = await listed(face, "pay", min_revision=reply.header.revision + 1)
        assert page.revision >= reply.header.revision + 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"service": "Pay"}, "service"),
        ({"limit": -1}, "limit"),
        ({"min_revision": -1}, "min_revision"),
        ({"service": "pay", "page_token": "x"}, "page_token"),
        ({"service": "pay", "page_token": "x/y"}, "page_token"),
        ({"service": "pay", "page_token": "9" * 30 + "/y"}, "page_token"),
        ({"healthy": True}, "healthy"),
        ({"tag": "a"}, "tag"),
        ({"zone": "a"}, "zone"),
    ],
)
async def test_bad_lists_name_the_field(face: Face, fields: dict[str, Any], field: str) -> None:
    code, _, details = await refused(listed(face, **fields))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and details["field"] == field


async def test_a_member_that_never_had_a_quorum_says_so() -> None:
    async for face in serving(Limits(), follows=True, quorum=False):
        request = pb.RegistryListRequest(local=True)
        stub = face.channel.unary_unary(
            "/coordinator.v1.Registry/List",
            request_serializer=pb.RegistryListRequest.SerializeToString,
            response_deserializer=pb.RegistryListResponse.FromString,
        )
        assert (await refused(stub(request, timeout=0.5)))[:2] == (
            grpc.StatusCode.UNAVAILABLE,
            "NOT_READY",
        )
        face.bus.quorum = True
        await listed(face, local=True)


# --- Watch ------------------------------------------------------------------------------------------


def watch(face: Face, service: str = "pay", **fields: Any) -> Any:
    request = pb.RegistryWatchRequest(service=service, **fields)
    return face.watch(request, pb.RegistryWatchResponse)


def told(message: pb.RegistryWatchResponse) -> list[tuple[int, str, int]]:
    return [(change.type, change.instance.id, change.cause) for change in message.changes]


async def test_a_watch_begins_with_what_there_is_and_tells_what_comes(face: Face) -> None:
    first = await register(face, instance("b"))
    stream = watch(face)
    message = await stream.read()
    assert message.snapshot and not message.reset and not message.partial
    assert message.revision == message.header.revision >= first.header.revision
    assert told(message) == [(ADDED, "b", 0)]
    second = await register(face, instance("a"), session=first.session)
    message = await stream.read()
    assert not message.snapshot and not message.partial
    assert message.revision == message.header.revision == second.header.revision
    assert told(message) == [(ADDED, "a", 0)]
    # Nothing of another service, of other keys, and of what changes nothing.
    await register(face, instance("x", service="mail"))
    await put(face, "/services/pay/settings", "{}")
    await put(face, "/services/pay/state/nobody", '{"state": "critical"}')
    third = await set_state(face, "STATE_WARNING", "slow", id="a")
    message = await stream.read()
    assert message.revision == third.header.revision and told(message) == [(CHANGED, "a", 0)]
    assert message.changes[0].instance.note == "slow"
    gone = await closed(face, first.session)
    message = await stream.read()
    assert message.revision == gone.header.revision
    reason = common_pb2.CAUSE_SESSION_CLOSED
    assert told(message) == [(REMOVED, "b", reason), (REMOVED, "a", reason)]
    await register(face, instance("c"))
    assert told(await stream.read()) == [(ADDED, "c", 0)]
    await deregister(face, "c")
    assert told(await stream.read()) == [(REMOVED, "c", common_pb2.CAUSE_DEREGISTERED)]
    stream.cancel()
    async with asyncio.timeout(10):
        while face.catalog.followed:
            await asyncio.sleep(0.01)


async def test_a_watch_of_nothing_says_that_there_is_nothing(face: Face) -> None:
    stream = watch(face, "nobody")
    message = await stream.read()
    assert message.snapshot and not message.partial and not message.changes


async def test_all_services_in_one_watch(face: Face) -> None:
    await define(face, "b", "a")
    await define(face, "z", service="mail")
    stream = watch(face, "")
    message = await stream.read()
    found = [(change.instance.service, change.instance.id) for change in message.changes]
    assert found == [("mail", "z"), ("pay", "a"), ("pay", "b")]
    await define(face, "c", service="web")
    assert told(await stream.read()) == [(ADDED, "c", 0)]


async def test_filters_let_instances_come_and_go(face: Face) -> None:
    await define(face, "a", tags=["blue"], zone="z")
    await define(face, "b", tags=["green"], zone="z")
    stream = watch(face, healthy=True, tag="blue", zone="z")
    assert told(await stream.read()) == [(ADDED, "a", 0)]
    await set_state(face, "STATE_DRAINING", id="b")
    await set_state(face, "STATE_DRAINING", id="a")
    message = await stream.read()
    assert told(message) == [(REMOVED, "a", common_pb2.CAUSE_UNSPECIFIED)]
    assert message.changes[0].instance.state == pb.STATE_DRAINING
    await set_state(face, "STATE_WARNING", id="a")
    assert told(await stream.read()) == [(ADDED, "a", 0)]
    await define(face, "a", tags=["blue"], zone="y")
    assert told(await stream.read()) == [(REMOVED, "a", 0)]
    # What is broken is no instance, and nobody deleted it.
    await define(face, "a", tags=["blue"], zone="z")
    assert told(await stream.read()) == [(ADDED, "a", 0)]
    await put(face, "/services/pay/instances/a", "junk")
    assert told(await stream.read()) == [(REMOVED, "a", 0)]


async def test_what_is_large_comes_in_parts(small_face: Face) -> None:
    session = (await opened(small_face)).id
    names = [f"i-{n:02}" for n in range(60)]
    for name in names:
        await register(small_face, instance(name), session=session)
    stream = watch(small_face)
    parts = [await stream.read()]
    while parts[-1].partial:
        parts.append(await stream.read())
    assert len(parts) > 1 and all(part.snapshot and not part.reset for part in parts)
    assert [each[1] for part in parts for each in told(part)] == names
    assert len({part.revision for part in parts}) == 1
    assert all(part.ByteSize() < 3_000 for part in parts)
    gone = await closed(small_face, session)
    parts = [await stream.read()]
    while parts[-1].partial:
        parts.append(await stream.read())
    assert len(parts) > 1 and {part.revision for part in parts} == {gone.header.revision}
    assert [each[1] for part in parts for each in told(part)] == names


async def test_who_does_not_keep_up_begins_anew() -> None:
    limits = Limits(watch_backlog_batches_max=2, watch_message_size_bytes_max=200_000)
    async for face in serving(limits, follows=True):
        filler = {f"{n}": "x" * 500 for n in range(50)}
        names = [f"i-{n}" for n in range(20)]
        for name in names:
            await register(face, instance(name, metadata=filler))
        stream = watch(face)
        # It takes nothing while more happens than the connection and the queue hold.
        for n in range(60):
            await define(face, *names[:5], weight=n, metadata=filler)
        await deregister(face, "i-19")
        known: dict[str, pb.Instance] = {}
        resets = 0
        async with asyncio.timeout(30):
            while len(known) != 19 or known["i-0"].weight != 59:
                message = await stream.read()
                if message.reset:
                    assert message.snapshot
                    resets += 1
                    known.clear()
                for change in message.changes:
                    if change.type == REMOVED:
                        del known[change.instance.id]
                    else:
                        known[change.instance.id] = change.instance
        assert resets


async def test_bad_watches_name_the_field(face: Face) -> None:
    for stream, field in (
        (watch(face, "Pay"), "service"),
        (watch(face, min_revision=-1), "min_revision"),
    ):
        code, _, details = await refused(stream.read())
        assert code == grpc.StatusCode.INVALID_ARGUMENT and details["field"] == field
