"""Register, Deregister and SetState, through a real gRPC server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from coordinator.config import Limits
from coordinator.state.model import Cause
from coordinator.state.results import Failure
from coordinator_client.pb import common_pb2
from coordinator_client.pb import registry_pb2 as pb
from tests.unit.api.conftest import Face, serving
from tests.unit.api.test_kv import key, prefix, put, range_, refused
from tests.unit.api.test_session import closed, got, opened

DEFINITION = "/services/pay/instances/p-1"
STATE = "/services/pay/state/p-1"


def instance(id: str = "p-1", service: str = "pay", **fields: Any) -> pb.Instance:
    fields.setdefault("address", "10.0.0.7")
    fields.setdefault("port", 8080)
    return pb.Instance(service=service, id=id, **fields)


async def register(
    face: Face, described: pb.Instance | None = None, **fields: Any
) -> pb.RegisterResponse:
    if "session" not in fields:
        fields.setdefault("ttl_ms", 10_000)
    request = pb.RegisterRequest(instance=described or instance(), **fields)
    response = await face.call("Registry/Register", request, pb.RegisterResponse)
    assert isinstance(response, pb.RegisterResponse)
    return response


async def deregister(face: Face, id: str = "p-1", **fields: Any) -> pb.DeregisterResponse:
    request = pb.DeregisterRequest(service="pay", id=id, **fields)
    response = await face.call("Registry/Deregister", request, pb.DeregisterResponse)
    assert isinstance(response, pb.DeregisterResponse)
    return response


async def set_state(
    face: Face, state: Any, note: str = "", id: str = "p-1", **fields: Any
) -> pb.SetStateResponse:
    request = pb.SetStateRequest(service="pay", id=id, state=state, note=note, **fields)
    response = await face.call("Registry/SetState", request, pb.SetStateResponse)
    assert isinstance(response, pb.SetStateResponse)
    return response


async def stored(face: Face, name: str) -> Any:
    """The JSON in a key, and the session that owns it; None: no key."""
    (kv,) = (await range_(face, selector=key(name))).kvs or (None,)
    return None if kv is None else (json.loads(kv.value), kv.session)


def events_of(face: Face, revision: int) -> set[tuple[str, Cause]]:
    """The keys that a revision deleted, and why."""
    batches = face.node.state.batches(revision, 1)
    assert not isinstance(batches, Failure)
    (batch,) = batches
    return {(event.key.decode(), event.cause) for event in batch.events}


async def keys_of_services(face: Face) -> list[bytes]:
    return [kv.key for kv in (await range_(face, selector=prefix("/services/"))).kvs]


async def test_what_is_written_is_what_the_page_specifies(face: Face) -> None:
    described = instance(
        ports={"admin": pb.Port(port=8081), "syslog": pb.Port(port=514, protocol="tcp")},
        metadata={"team": "blue"},
        tags=["primary"],
        weight=0,
        zone="eu-1a",
        version="2.4.1",
        state="STATE_STARTING",
        note="warming up",
        # Of these the cluster knows better.
        healthy=True,
        create_revision=99,
        session=99,
    )
    session = (await opened(face)).id
    reply = await register(face, described, session=session)
    assert (reply.session, reply.ttl_ms) == (session, 0)
    definition, owner = await stored(face, DEFINITION)
    assert definition == {
        "id": "p-1",
        "service": "pay",
        "address": "10.0.0.7",
        "port": 8080,
        "metadata": {"team": "blue"},
        "ports": {"admin": 8081, "syslog": 514},
        "tags": ["primary"],
        "weight": 0,
        "zone": "eu-1a",
        "version": "2.4.1",
    }
    assert owner == session
    assert await stored(face, STATE) == ({"state": "starting", "note": "warming up"}, session)
    kvs = (await range_(face, selector=prefix("/services/"))).kvs
    assert {kv.mod_revision for kv in kvs} == {reply.header.revision}, "in one transaction"


async def test_checks_stand_in_the_definition_and_are_judged_before(face: Face) -> None:
    check = pb.Check(http=pb.HttpCheck(url="/health"), interval_ms=5_000, initial="STATE_PASSING")
    queue = pb.Check(ttl=pb.TtlCheck(ttl_ms=30_000))
    await register(face, instance(checks={"web": check, "queue": queue}))
    definition, _ = await stored(face, DEFINITION)
    assert definition["checks"] == {
        "web": {"kind": "http", "url": "/health", "interval_ms": 5_000, "initial": "passing"},
        "queue": {"kind": "ttl", "ttl_ms": 30_000},
    }
    check.interval_ms = 1
    for checks, field in (
        ({"web": check}, "instance.checks[web].interval_ms"),
        ({"web": pb.Check()}, "instance.checks[web]"),
        ({"a b": queue}, "instance.checks"),
        ({f"c{n}": queue for n in range(33)}, "instance.checks"),
    ):
        error = await refused(register(face, instance("p-2", checks=checks)))
        assert error[0] is grpc.StatusCode.INVALID_ARGUMENT and error[2]["field"] == field
    assert face.node.state.session_count == 1, "what is wrong opens no session"


async def test_a_session_is_opened_where_none_is_given(face: Face) -> None:
    reply = await register(face)
    record = (await got(face, reply.session)).session
    assert (record.ttl_ms, record.disconnect_grace_ms, record.key_count) == (10_000, 1_000, 2)
    assert dict(record.metadata) == {"service": "pay", "instance": "p-1"}
    assert reply.ttl_ms == 10_000
    short = await register(face, instance("p-2"), ttl_ms=600)
    assert (await got(face, short.session)).session.disconnect_grace_ms == 600
    patient = await register(face, instance("p-3"), disconnect_grace_ms=0)
    assert (await got(face, patient.session)).session.disconnect_grace_ms == 0
    await closed(face, reply.session)
    assert await stored(face, DEFINITION) is None


async def test_a_restarted_program_takes_over_its_instance(face: Face) -> None:
    old = await register(face, instance(address="10.0.0.1"))
    await set_state(face, "STATE_MAINTENANCE", "a new disk")
    new = await register(face, instance(address="10.0.0.2", state="STATE_WARNING"))
    assert await stored(face, STATE) == ({"state": "warning"}, new.session)
    await closed(face, old.session)
    definition, owner = await stored(face, DEFINITION)
    assert (definition["address"], owner) == ("10.0.0.2", new.session)


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ({"state": "maintenance", "note": "why"}, {"state": "maintenance", "note": "why"}),
        ({"state": "critical", "note": "kept", "guarded": True}, {"state": "starting"}),
        ({"state": "draining", "note": "n", "guarded": True}, {"state": "draining", "note": "n"}),
        (None, {"state": "starting"}),
    ],
)
async def test_one_that_lost_its_session_keeps_what_an_operator_said(
    face: Face, found: dict[str, Any] | None, kept: dict[str, Any]
) -> None:
    if found is not None:
        await put(face, STATE, json.dumps(found))
    reply = await register(face, instance(state="STATE_STARTING"), keep_state=True)
    assert await stored(face, STATE) == (kept, reply.session)


async def test_nothing_is_left_of_a_registration_that_fails() -> None:
    """There is room for the session, and none for the keys."""
    async for face in serving(Limits(state_size_bytes_max=1)):
        assert (await refused(register(face, ttl_ms=3_600_000)))[1] == "SPACE_QUOTA"
        async with asyncio.timeout(10):
            while face.node.state.session_count:
                await asyncio.sleep(0.01)
        assert await keys_of_services(face) == []


async def test_nothing_is_left_of_one_that_its_client_gave_up(face: Face) -> None:
    face.bus.held = True
    request = pb.RegisterRequest(instance=instance(), ttl_ms=3_600_000)
    task = asyncio.create_task(face.call("Registry/Register", request, pb.RegisterResponse))
    async with asyncio.timeout(10):
        while len(face.bus.log) == face.bus.committed:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10):
        while len(face.bus.log) < face.bus.committed + 2:
            await asyncio.sleep(0.01)
    face.bus.held = False
    face.bus.commit()
    assert face.node.state.session_count == 0
    assert await keys_of_services(face) == []


async def test_a_session_must_be_there(face: Face) -> None:
    code, reason, details = await refused(register(face, session=77))
    assert (code, reason, details["session"]) == (
        grpc.StatusCode.NOT_FOUND,
        "SESSION_NOT_FOUND",
        "77",
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"service": "Pay"}, "instance.service"),
        ({"service": "pay/x"}, "instance.service"),
        ({"service": ""}, "instance.service"),
        ({"id": ""}, "instance.id"),
        ({"id": "../x"}, "instance.id"),
        ({"id": "x/y"}, "instance.id"),
        ({"address": ""}, "instance.address"),
        ({"address": "a b"}, "instance.address"),
        ({"port": 0}, "instance.port"),
        ({"port": 65_536}, "instance.port"),
        ({"ports": {"admin": pb.Port()}}, "instance.ports"),
        ({"ports": {"ad min": pb.Port(port=1)}}, "instance.ports"),
        ({"metadata": {"": "x"}}, "instance.metadata"),
        ({"metadata": {"k": "x" * 513}}, "instance.metadata"),
        ({"metadata": {str(n): "" for n in range(65)}}, "instance.metadata"),
        ({"tags": ["a/b"]}, "instance.tags"),
        ({"weight": 65_536}, "instance.weight"),
        ({"zone": "é"}, "instance.zone"),
        ({"version": "1 2"}, "instance.version"),
        ({"state": 99}, "instance.state"),
        ({"note": "x" * 4097}, "instance.note"),
    ],
)
async def test_bad_instances_name_the_field(face: Face, fields: dict[str, Any], field: str) -> None:
    code, reason, details = await refused(register(face, instance(**fields)))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert details["field"] == field
    assert face.node.state.session_count == 0, "refused before anything was written"


NUMBER = common_pb2.RequestId(session=1, sequence=1)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"session": -1}, "session"),
        ({"session": 1, "ttl_ms": 1000}, "session"),
        ({"ttl_ms": 0}, "session"),
        ({"ttl_ms": 1}, "ttl_ms"),
        ({"ttl_ms": 1000, "disconnect_grace_ms": 2000}, "disconnect_grace_ms"),
        ({"session": 1, "disconnect_grace_ms": 1}, "disconnect_grace_ms"),
        ({"ttl_ms": 1000, "request": NUMBER}, "request"),
    ],
)
async def test_bad_registrations_name_the_field(
    face: Face, fields: dict[str, Any], field: str
) -> None:
    assert (await refused(register(face, **fields)))[2]["field"] == field


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda face: deregister(face, "a/b"), "id"),
        (lambda face: deregister(face, session=-1), "session"),
        (lambda face: set_state(face, 0), "state"),
        (lambda face: set_state(face, 8), "state"),
        (lambda face: set_state(face, "STATE_PASSING", "x" * 4097), "note"),
        (lambda face: set_state(face, "STATE_PASSING", id=""), "id"),
    ],
)
async def test_other_bad_requests_name_the_field(
    face: Face, call: Callable[[Face], Awaitable[Any]], field: str
) -> None:
    assert (await refused(call(face)))[2]["field"] == field


async def test_requests_have_a_limit(small_face: Face) -> None:
    large = instance(metadata={f"{n}": "x" * 500 for n in range(25)})
    code, reason, _ = await refused(register(small_face, large))
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")


async def test_an_operator_removes_an_instance_with_all_that_belongs_to_it(face: Face) -> None:
    session = (await register(face)).session
    await register(face, instance("p-10"), session=session)
    await put(face, "/services/pay/checks/p-1/http", '{"state": "passing"}')
    await put(face, "/services/pay/checks/p-10/http", '{"state": "passing"}')
    reply = await deregister(face)
    assert reply.session == session
    assert events_of(face, reply.header.revision) == {
        (DEFINITION, Cause.DEREGISTERED),
        (STATE, Cause.DEREGISTERED),
        ("/services/pay/checks/p-1/http", Cause.DEREGISTERED),
    }
    assert (await got(face, session)).session.key_count == 2, "it lives on, with the other one"
    code, reason, details = await refused(deregister(face))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "INSTANCE_NOT_FOUND")
    assert (details["service"], details["id"]) == ("pay", "p-1")


async def test_a_program_removes_its_own_instance_only(face: Face) -> None:
    old = await register(face)
    new = await register(face)
    code, reason, details = await refused(deregister(face, session=old.session))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_MISMATCH")
    assert details["session"] == str(new.session)
    reply = await deregister(face, session=new.session)
    assert events_of(face, reply.header.revision) == {
        (DEFINITION, Cause.DELETED),
        (STATE, Cause.DELETED),
    }
    assert (await refused(deregister(face, session=new.session)))[1] == "INSTANCE_NOT_FOUND"


async def test_a_state_goes_with_the_definition(face: Face) -> None:
    assert (await refused(set_state(face, "STATE_DRAINING")))[1] == "INSTANCE_NOT_FOUND"
    assert await keys_of_services(face) == []
    session = (await register(face)).session
    await set_state(face, "STATE_CRITICAL", "no disk")
    assert await stored(face, STATE) == ({"state": "critical", "note": "no disk"}, session)
    guarded = json.dumps({"state": "critical", "guarded": True})
    await put(face, STATE, guarded, session=session)
    await set_state(face, "STATE_DRAINING")
    assert await stored(face, STATE) == ({"state": "draining", "guarded": True}, session)
    await closed(face, session)
    assert await keys_of_services(face) == []


async def test_states_and_registrations_race(face: Face) -> None:
    async def come_and_go() -> None:
        for _ in range(10):
            await closed(face, (await register(face)).session)

    async def operate() -> None:
        for _ in range(20):
            try:
                await set_state(face, "STATE_DRAINING")
            except grpc.aio.AioRpcError as error:
                assert error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ABORTED)

    await asyncio.gather(come_and_go(), *(operate() for _ in range(3)))
    assert await keys_of_services(face) == []


async def test_numbered_writes_apply_once(face: Face) -> None:
    owner, numbers = (await opened(face)).id, (await opened(face)).id

    def number(sequence: int) -> common_pb2.RequestId:
        return common_pb2.RequestId(session=numbers, sequence=sequence)

    first = await register(face, session=owner, request=number(1))
    state = await set_state(face, "STATE_DRAINING", request=number(2))
    gone = await deregister(face, request=number(3))
    before = face.node.state.revision
    for _ in range(2):
        same = await register(face, session=owner, request=number(1))
        assert same.header.revision == first.header.revision
        set_again = await set_state(face, "STATE_DRAINING", request=number(2))
        assert set_again.header.revision == state.header.revision
        assert (await deregister(face, request=number(3))).header.revision == gone.header.revision
    assert face.node.state.revision == before
    refusal = await refused(set_state(face, "STATE_PASSING", request=number(4)))
    assert refusal[1] == "INSTANCE_NOT_FOUND"
    await register(face, session=owner, keep_state=True, request=number(5))
    assert (await refused(set_state(face, "STATE_PASSING", request=number(4))))[1] in (
        "INSTANCE_NOT_FOUND",
        "INSTANCE_CHANGED",
    )
    assert await stored(face, STATE) == ({"state": "passing"}, owner)
