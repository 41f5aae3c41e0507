"""Arguments that can't be meant are refused by both faces, with a sentence, before anything is sent."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import grpc
import pytest

import coordinator_client
from coordinator_client import (
    InvalidArgument,
    Key,
    Nested,
    Prefix,
    Put,
    Range,
    aio,
    calls,
    validation,
)
from coordinator_client.instances import Instance, InstanceState
from coordinator_client.pb import common_pb2, watch_pb2
from tests.unit.client.scripted import Context, scripted

ODD = "a\udcff"
NOWHERE = "127.0.0.1:1"


def nest(depth: int) -> Nested:
    """That many transactions within each other."""
    nested = Nested(then=(Put("a"),))
    for _ in range(depth - 1):
        nested = Nested(then=(nested,))
    return nested


MISTAKES: list[tuple[str, Callable[[Any], Any]]] = [
    ("session", lambda c: c.put("a", "b", session=2**70)),
    ("session", lambda c: c.put("a", "b", session=-1)),
    ("session", lambda c: c.put("a", "b", session="x")),
    ("sequence", lambda c: c.put("a", "b", sequence="x")),
    ("prev", lambda c: c.put("a", "b", prev=None)),
    ("key", lambda c: c.put(ODD, "b")),
    ("key", lambda c: c.put(5, "b")),
    ("value", lambda c: c.put("a", ODD)),
    ("value", lambda c: c.put("a", 5)),
    ("key", lambda c: c.get(ODD)),
    ("key", lambda c: c.get(None)),
    ("revision", lambda c: c.get("a", revision=2**63)),
    ("revision", lambda c: c.get("a", revision="1")),
    ("min_revision", lambda c: c.get("a", min_revision=-1)),
    ("local", lambda c: c.get("a", local="x")),
    ("limit", lambda c: c.range("a", limit=2**70)),
    ("limit", lambda c: c.range("a", limit=1.5)),
    ("prefix", lambda c: c.range("a", prefix="x")),
    ("range_end", lambda c: c.range("a", range_end=ODD)),
    ("delimiter", lambda c: c.range("a", delimiter=ODD)),
    ("start_after", lambda c: c.range("a", start_after=ODD)),
    ("path", lambda c: c.children(ODD)),
    ("key", lambda c: c.delete(ODD)),
    ("prev", lambda c: c.delete("a", prev="x")),
    ("revision", lambda c: c.compact(2**70)),
    ("start_revision", lambda c: c.watch("a", start_revision=2**70)),
    ("min_revision", lambda c: c.watch("a", min_revision="x")),
    ("snapshot", lambda c: c.watch("a", snapshot="x")),
    ("key", lambda c: c.watch(ODD)),
    ("value", lambda c: c.txn().then(Put("a", ODD)).commit()),
    ("limit", lambda c: c.txn().then(Range("a", limit=2**70)).commit()),
    ("then", lambda c: c.txn().then(Nested(then=Put("a"))).commit()),  # type: ignore[arg-type]  # the mistake
    ("when", lambda c: c.txn().then(Nested(when=(1,))).commit()),  # type: ignore[arg-type]  # the mistake
    ("within", lambda c: c.txn().then(nest(32)).commit()),
    ("operation", lambda c: c.txn().then(5).commit()),
    ("ttl", lambda c: c.session(ttl="x")),
    ("ttl", lambda c: c.session(ttl=float("nan"))),
    ("ttl", lambda c: c.session(ttl=10**400)),
    ("disconnect_grace", lambda c: c.session(disconnect_grace="x")),
    ("id", lambda c: c.session(id=2**63)),
    ("id", lambda c: c.session(id="x")),
    ("metadata", lambda c: c.session(metadata={"k": 1})),
    ("metadata", lambda c: c.session(metadata={"k": ODD})),
    ("metadata", lambda c: c.session(metadata=5)),
    ("on_lost", lambda c: c.session(on_lost=5)),
    ("id", lambda c: c.get_session(2**70)),
    ("id", lambda c: c.close_session("x")),
    ("local", lambda c: c.sessions(local="x")),
    ("metadata", lambda c: c.register("pay", "::1", 1, metadata={"k": ODD})),
    ("metadata", lambda c: c.register("pay", "::1", 1, metadata=5)),
    ("ports", lambda c: c.register("pay", "::1", 1, ports=5)),
    ("tags", lambda c: c.register("pay", "::1", 1, tags="fast")),
    ("tags", lambda c: c.register("pay", "::1", 1, tags=5)),
    ("ttl", lambda c: c.register("pay", "::1", 1, ttl="x")),
    ("disconnect_grace", lambda c: c.register("pay", "::1", 1, disconnect_grace=-1)),
    ("note", lambda c: c.register("pay", "::1", 1).set_state("passing", ODD)),
    ("note", lambda c: c.register("pay", "::1", 1).set_state("passing", 5)),
    ("n is", lambda c: c.discover("pay").wait_for("x")),
    ("endpoint", lambda c: c.status("a:1,b:2")),
    ("digest", lambda c: c.status(digest="x")),
    ("page_size", lambda c: c.range_all("a", page_size=-1)),
]

TIMED: list[Callable[[Any, Any], Any]] = [
    lambda c, t: c.get("a", timeout_s=t),
    lambda c, t: c.range("a", timeout_s=t),
    lambda c, t: c.put("a", "b", timeout_s=t),
    lambda c, t: c.delete("a", timeout_s=t),
    lambda c, t: c.compact(1, timeout_s=t),
    lambda c, t: c.txn().then(Put("a", "b")).commit(timeout_s=t),
    lambda c, t: c.status(timeout_s=t),
    lambda c, t: c.members(timeout_s=t),
]
WAITING: list[Callable[[Any, Any], Any]] = [
    lambda c, t: c.watch("a").next(t),
    lambda c, t: c.discover("pay").changes().next(t),
    lambda c, t: c.discover("pay").wait_for(1, t),
    lambda c, t: c.session().lost.wait(t),
    lambda c, t: c.register("pay", "::1", 1).wait_registered(t),
]
NOT_NUMBERS: list[Any] = ["1", True, Decimal(1)]
NO_TIME = [-1, -0.001, float("nan"), float("inf"), float("-inf"), 1.1e8, 10**400, *NOT_NUMBERS]


def use(make: Callable[[], Any]) -> None:
    found = make()
    if inspect.isgenerator(found):
        next(found)


async def use_waiting(make: Callable[[], Any]) -> None:
    found = make()
    if inspect.isasyncgen(found):
        await anext(found)
    elif inspect.isawaitable(found):
        await found


async def refused(make: Callable[[Any], Any], sentence: str) -> None:
    """Nobody listens where the clients would go: a call that got so far would end in another error."""
    with (
        coordinator_client.connect(NOWHERE, timeout_s=0.2) as client,
        pytest.raises(InvalidArgument, match=sentence) as blocking,
    ):
        use(lambda: make(client))
    async with aio.connect(NOWHERE, timeout_s=0.2) as other:
        with pytest.raises(InvalidArgument, match=sentence) as waiting:
            await use_waiting(lambda: make(other))
    assert blocking.value.message == waiting.value.message
    assert len(blocking.value.message) < 200


@pytest.mark.parametrize(("name", "make"), MISTAKES)
async def test_mistakes_are_named(name: str, make: Callable[[Any], Any]) -> None:
    await refused(make, f"\\b{name}\\b")


@pytest.mark.parametrize("call", range(len(TIMED)))
async def test_calls_need_time(call: int) -> None:
    for wrong in [0, 0.0, *NO_TIME]:
        await refused(lambda client, wrong=wrong: TIMED[call](client, wrong), "timeout_s")  # type: ignore[misc]  # bound now


@pytest.mark.parametrize("call", range(len(WAITING)))
async def test_waiting_needs_a_length(call: int) -> None:
    for wrong in NO_TIME:
        await refused(lambda client, wrong=wrong: WAITING[call](client, wrong), "timeout_s")  # type: ignore[misc]  # bound now


@pytest.mark.parametrize("connect", [coordinator_client.connect, aio.connect])
@pytest.mark.parametrize("wrong", [5, None, [], "", b"a:1", [5], [b"a:1"], "a\udcff:1", "a b:1"])
async def test_endpoints_are_text(connect: Callable[..., Any], wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match="endpoint"):
        connect(wrong)


@pytest.mark.parametrize("connect", [coordinator_client.connect, aio.connect])
async def test_connecting_needs_time(connect: Callable[..., Any]) -> None:
    for wrong in [0, None, *NO_TIME]:
        with pytest.raises(InvalidArgument, match="timeout_s"):
            connect(NOWHERE, timeout_s=wrong)


def test_what_is_meant_is_taken() -> None:
    assert validation.to_bytes("grün", "key") == "grün".encode()
    assert validation.to_bytes(b"a\xff", "key") == b"a\xff"
    assert validation.whole(2**63 - 1, "n") == 2**63 - 1
    assert validation.whole(-1, "n", at_least=-1) == -1
    assert (validation.flag(1, "f"), validation.flag(False, "f")) == (True, False)  # type: ignore[arg-type]  # tolerated
    assert validation.pairs(None, "p") == {}
    assert validation.texts(["a", "b"], "t") == ("a", "b")
    assert (validation.wait(0), validation.timeout(0.001)) == (0, 0.001)
    assert len(nest(32).message().SerializeToString()) > 32
    assert (Key("/a").version == 2**63 - 1).message().version == 2**63 - 1
    assert (Prefix("/a").version > -(2**63)).message().version == -(2**63)


def test_what_a_message_shows_is_short() -> None:
    assert len(validation.shown("x" * 1000)) == 80
    assert validation.shown(10**5000) == "a very large int"
    with pytest.raises(InvalidArgument, match="a very large int"):
        validation.whole(10**5000, "n")


def test_odd_text_of_others_is_read_but_not_written() -> None:
    state = InstanceState.from_json(rb'{"state":"warning","note":"a\udcff"}')
    assert state.status == "warning"
    with pytest.raises(InvalidArgument, match="note"):
        state.to_json()
    with pytest.raises(InvalidArgument, match="metadata"):
        Instance("pay", "a", "::1", 1, metadata={"k": ODD}).to_json()


async def test_a_watch_keeps_its_half_of_the_stream_open() -> None:
    """A server may end a watch whose requests have ended."""

    async def serve(context: Context) -> None:
        await context.read()
        created = watch_pb2.WatchCreated(start_revision=1)
        await context.write(watch_pb2.WatchResponse(watch_id=1, created=created))
        # Nothing more comes from a client that only listens: neither a message nor the end.
        ended = False
        try:
            async with asyncio.timeout(0.2):
                ended = await context.read() is grpc.aio.EOF
        except TimeoutError:
            pass
        batch = common_pb2.EventBatch(revision=2 if ended else 1)
        events = watch_pb2.WatchEvents(batches=[batch])
        await context.write(watch_pb2.WatchResponse(watch_id=1, events=events))
        await context.read()

    async with scripted() as script:
        script.on_stream(calls.WATCH, serve)
        async with aio.connect(script.endpoint) as client, client.watch("/a") as watch:
            assert (await watch.next(5)).revision == 1

        def listen() -> int:
            with (
                coordinator_client.connect(script.endpoint) as client,
                client.watch("/a") as watch,
            ):
                return watch.next(5).revision

        assert await asyncio.to_thread(listen) == 1


@pytest.mark.parametrize("name", ["a", "A.b_c:d-9", "_", "0", "x" * 128])
def test_names_that_are_parts_of_keys(name: str) -> None:
    assert validation.name(name, "queue") == name


@pytest.mark.parametrize(
    "name", ["", "a/b", ".a", "-a", ":a", "a b", "a\n", "ä", "x" * 129, b"a", None]
)
def test_what_is_no_name(name: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"queue name .* is not 1 to 128"):
        validation.name(name, "queue")
