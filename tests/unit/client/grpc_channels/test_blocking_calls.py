"""Calls of all kinds on the blocking channel, and what becomes of those that fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from coordinator_client import Ejection
from coordinator_client.grpc_channels.subchannels import Pick
from tests.unit.client.grpc_channels.echoes import (
    SAY,
    SERVICE,
    WAIT_S,
    Echo,
    First,
    LateNews,
    Open,
    View,
    failure_of,
    wait_ready,
    wait_until,
)


def test_all_kinds_of_calls(view: View, servers: list[Echo], open_channel: Open) -> None:
    channel = open_channel(view)
    wait_ready(channel, 2)
    say: Any = channel.unary_unary(
        SAY, request_serializer=str.encode, response_deserializer=bytes.decode
    )
    assert {say("x") for _ in range(4)} == {"a", "b"}
    response, call = say.with_call("x", timeout=WAIT_S, metadata=(("user", "me"),))
    assert call.code() is grpc.StatusCode.OK
    served = next(server for server in servers if server.name.decode() == response)
    assert served.metadata["user"] == "me"
    assert {say.future("x", compression=grpc.Compression.Gzip).result() for _ in range(4)} == {
        "a",
        "b",
    }
    count = channel.unary_stream(f"/{SERVICE}/Count")
    stream: Any = count(b"3")
    assert len(list(stream)) == 3
    assert stream.code() is grpc.StatusCode.OK
    assert isinstance(stream, grpc.Call)
    assert {b"".join(count(b"3")) for _ in range(4)} == {b"a0a1a2", b"b0b1b2"}
    join = channel.stream_unary(f"/{SERVICE}/Join")
    assert {join(iter([b"x", b"y"])) for _ in range(4)} == {b"axy", b"bxy"}
    assert join.with_call(iter([b"x"]))[1].code() is grpc.StatusCode.OK
    assert join.future(iter([b"x"])).result() in (b"ax", b"bx")
    chat = channel.stream_stream(f"/{SERVICE}/Chat")
    assert {b"".join(chat(iter([b"1", b"2"]))) for _ in range(4)} == {b"a1a2", b"b1b2"}


def test_a_call_at_once_waits_for_the_connection(view: View, open_channel: Open) -> None:
    assert open_channel(view).unary_unary(SAY)(b"") in (b"a", b"b")
    assert b"".join(open_channel(view).unary_stream(f"/{SERVICE}/Count")(b"1")) in (b"a0", b"b0")


def test_a_server_that_stops_costs_no_call_that_was_not_in_flight(
    view: View, servers: list[Echo], open_channel: Open
) -> None:
    channel = open_channel(view)
    wait_ready(channel, 2)
    say = channel.unary_unary(SAY)
    servers[0].stop()
    # The view still shows it.
    assert [say(b"", timeout=WAIT_S) for _ in range(50)] == [b"b"] * 50
    count = channel.unary_stream(f"/{SERVICE}/Count")
    assert [b"".join(count(b"1")) for _ in range(10)] == [b"b0"] * 10
    servers.append(Echo("c", port=servers[0].port))
    wait_ready(channel, 2)


def test_streams_tell_how_they_ended_too(
    view: View, servers: list[Echo], open_channel: Open
) -> None:
    channel = open_channel(view, ejection=Ejection(failures=1, pause_s=60))
    wait_ready(channel, 2)
    say = channel.unary_unary(SAY)
    count = channel.unary_stream(f"/{SERVICE}/Count")
    # What is no number makes the method raise, which is UNKNOWN.
    assert failure_of(lambda: list(count(b"many"))).code() is grpc.StatusCode.UNKNOWN
    wait_until(
        lambda: len({say(b"") for _ in range(6)}) == 1, WAIT_S, lambda: "nobody was left alone"
    )


def test_a_stream_that_is_forgotten_ends(view: View, open_channel: Open) -> None:
    channel = open_channel(view)
    wait_ready(channel, 2)
    endless = threading.Event()

    def requests() -> Iterator[bytes]:
        yield b"x"
        endless.wait(WAIT_S)

    chat = channel.stream_stream(f"/{SERVICE}/Chat")(requests())
    next(chat)
    assert sum(each.outstanding for each in channel._watchers) == 1
    del chat
    wait_until(
        lambda: not any(each.outstanding for each in channel._watchers),
        WAIT_S,
        lambda: "still under way",
    )
    endless.set()


def test_interceptors(view: View, open_channel: Open) -> None:
    class Interceptor(grpc.UnaryUnaryClientInterceptor):
        def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            return continuation(details, b"fail NOT_FOUND")

    say: Any = grpc.intercept_channel(open_channel(view), Interceptor()).unary_unary(SAY)
    for call in (lambda: say(b""), lambda: say.future(b"").result()):
        assert failure_of(call).code() is grpc.StatusCode.NOT_FOUND


def test_one_that_fails_is_left_alone(view: View, servers: list[Echo], open_channel: Open) -> None:
    channel = open_channel(view, ejection=Ejection(failures=2, pause_s=60))
    wait_ready(channel, 2)
    say = channel.unary_unary(SAY)
    for _ in range(4):
        assert failure_of(lambda: say(b"fail NOT_FOUND")).code() is grpc.StatusCode.NOT_FOUND
    assert {say(b"") for _ in range(4)} == {b"a", b"b"}, "an answer is no failure"
    for _ in range(3):
        failure_of(lambda: say(b"fail INTERNAL"))
    assert len({say(b"") for _ in range(6)}) == 1


def test_a_server_may_pass_on_that_its_own_call_never_left(
    view: View, servers: list[Echo], open_channel: Open
) -> None:
    view.show(view.instances()[0])
    channel = open_channel(view)
    say = channel.unary_unary(SAY)
    say(b"")
    before = servers[0].calls
    error = failure_of(lambda: say(b"refused"))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert servers[0].calls == before + 1, "it was called twice"


@pytest.mark.parametrize("kind", ["unary", "with_call", "stream"])
def test_a_call_that_never_left_goes_to_another_instance(
    view: View, servers: list[Echo], open_channel: Open, kind: str
) -> None:
    channel = open_channel(view, First())
    news = LateNews(channel)
    calls: dict[str, Callable[[], bytes]] = {
        "unary": lambda: channel.unary_unary(SAY)(b""),
        "with_call": lambda: channel.unary_unary(SAY).with_call(b"")[0],
        "stream": lambda: b"".join(channel.unary_stream(f"/{SERVICE}/Count")(b"1")),
    }
    wait_until(
        lambda: all(each.state is grpc.ChannelConnectivity.READY for each in channel._watchers),
        WAIT_S,
        lambda: "not connected",
    )
    assert calls[kind]().startswith(b"a")
    news.hold()
    servers[0].stop()
    assert calls[kind]().startswith(b"b")
    assert news.asked == 1


def test_a_call_whose_requests_are_a_stream_fails(
    view: View, servers: list[Echo], open_channel: Open
) -> None:
    channel = open_channel(view, First())
    news = LateNews(channel)
    wait_until(
        lambda: all(each.state is grpc.ChannelConnectivity.READY for each in channel._watchers),
        WAIT_S,
        lambda: "not connected",
    )
    news.hold()
    servers[0].stop()
    error = failure_of(lambda: channel.stream_unary(f"/{SERVICE}/Join")(iter([b"x"])))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert news.asked == 0


def test_a_stream_that_is_canceled_does_not_begin_again(
    view: View, servers: list[Echo], open_channel: Open
) -> None:
    channel = open_channel(view, First())
    news = LateNews(channel)
    wait_until(
        lambda: all(each.state is grpc.ChannelConnectivity.READY for each in channel._watchers),
        WAIT_S,
        lambda: "not connected",
    )
    news.hold()
    servers[0].stop()
    is_lost = channel.is_lost
    stream: Any = channel.unary_stream(f"/{SERVICE}/Count")(b"1")

    def cancel_then_ask(pick: Pick, deadline_s: float | None) -> Any:
        # As another thread may do just now.
        stream.cancel()
        return is_lost(pick, deadline_s)

    channel.is_lost = cancel_then_ask
    assert failure_of(lambda: next(stream)).code() is grpc.StatusCode.CANCELLED
    assert stream.code() is grpc.StatusCode.CANCELLED
    assert stream.cancelled()
    assert servers[1].calls == 0


def test_a_stream_that_waits_to_begin_again_can_be_canceled(
    view: View, servers: list[Echo], open_channel: Open
) -> None:
    view.show(view.instances()[0])
    channel = open_channel(view)
    news = LateNews(channel)
    wait_ready(channel, 1)
    news.hold()
    servers[0].stop()
    count = channel.unary_stream(f"/{SERVICE}/Count")
    stream: Any = count(b"1", wait_for_ready=True, timeout=WAIT_S)
    asked = threading.Event()
    refresh = channel._refresh

    def note() -> None:
        if news.asked:
            asked.set()
        refresh()

    channel._refresh = note
    ended: list[grpc.StatusCode] = []
    reader = threading.Thread(target=lambda: ended.append(failure_of(lambda: next(stream)).code()))
    reader.start()
    assert asked.wait(WAIT_S)
    stream.cancel()
    reader.join(2 * WAIT_S)
    assert ended == [grpc.StatusCode.CANCELLED]


@pytest.mark.parametrize("kind", ["unary", "stream"])
def test_a_call_that_is_to_begin_again_ends_with_its_channel(
    view: View, servers: list[Echo], open_channel: Open, kind: str
) -> None:
    channel = open_channel(view, First())
    news = LateNews(channel)
    wait_until(
        lambda: all(each.state is grpc.ChannelConnectivity.READY for each in channel._watchers),
        WAIT_S,
        lambda: "not connected",
    )
    calls: dict[str, Callable[[], object]] = {
        "unary": lambda: channel.unary_unary(SAY)(b""),
        "stream": lambda: list(channel.unary_stream(f"/{SERVICE}/Count")(b"1")),
    }
    news.hold()
    servers[0].stop()
    is_lost = channel.is_lost

    def ask_then_close(pick: Pick, deadline_s: float | None) -> Any:
        lost = is_lost(pick, deadline_s)
        channel.close()
        return lost

    channel.is_lost = ask_then_close
    assert failure_of(calls[kind]).code() is grpc.StatusCode.CANCELLED
