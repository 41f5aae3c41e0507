"""The blocking channel over real servers that come and go."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
import pytest

from coordinator_client import ConsistentHash, InvalidArgument, grpc_channel
from tests.unit.client.grpc_channels.echoes import (
    FLIPS,
    SAY,
    SERVICE,
    WAIT_S,
    Echo,
    Open,
    View,
    as_status,
    failure_of,
    instance,
    wait_ready,
    wait_until,
)


def test_instances_come_and_go(view: View, servers: list[Echo], open_channel: Open) -> None:
    a, b = view.instances()
    view.show(a)
    channel = open_channel(view)
    say = channel.unary_unary(SAY)
    assert [say(b"") for _ in range(4)] == [b"a"] * 4
    view.show(a, b)
    wait_ready(channel, 2)
    # From the very next call, no matter when the background learns of it.
    view.show(as_status(a, "draining"), b)
    assert [say(b"") for _ in range(6)] == [b"b"] * 6


def test_a_call_under_way_is_not_lost_when_its_instance_goes(
    view: View, servers: list[Echo], open_channel: Open
) -> None:
    channel = open_channel(view)
    wait_ready(channel, 2)
    say = channel.unary_unary(SAY)
    held = [say.future(b"hold") for _ in range(2)]
    for server in servers:
        assert server.holding.acquire(timeout=WAIT_S)
    retired = list(channel._watchers)
    view.show()
    wait_until(lambda: set(channel._retired) == set(retired), WAIT_S, lambda: "not retired")
    assert failure_of(lambda: say(b"")).code() is grpc.StatusCode.UNAVAILABLE
    for server in servers:
        server.go_on.set()
    assert {future.result(WAIT_S) for future in held} == {b"a", b"b"}
    wait_until(lambda: not channel._retired, WAIT_S, lambda: "not closed")
    with pytest.raises(ValueError, match="closed"):
        retired[0].channel.unary_unary(SAY)(b"")


def test_calls_of_an_instance_that_went_may_be_ended(
    view: View, servers: list[Echo], open_channel: Open
) -> None:
    view.show(view.instances()[0])
    channel = open_channel(view, drain_s=0)
    held = channel.unary_unary(SAY).future(b"hold", wait_for_ready=True)
    assert servers[0].holding.acquire(timeout=WAIT_S)
    view.show()
    assert held.exception(WAIT_S).code() is grpc.StatusCode.CANCELLED


def test_nobody_there(open_channel: Open) -> None:
    view = View()
    channel = open_channel(view)
    say = channel.unary_unary(SAY)
    stream = channel.unary_stream(f"/{SERVICE}/Count")
    for call in (
        lambda: say(b""),
        lambda: say.with_call(b""),
        lambda: say.future(b"").result(),
        lambda: list(stream(b"3")),
    ):
        error = failure_of(call)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert error.details() == "no instance of echo may get calls"
    late = failure_of(lambda: say(b"", timeout=0.05, wait_for_ready=True))
    assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_nobody_listens(servers: list[Echo], view: View, open_channel: Open) -> None:
    for server in servers:
        server.stop()
    error = failure_of(lambda: open_channel(view).unary_unary(SAY)(b""))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "can be reached at 127.0.0.1:" in error.details()


def test_a_call_may_wait_until_somebody_comes(view: View, open_channel: Open) -> None:
    a, _ = view.instances()
    view.show()
    channel = open_channel(view)
    answers: list[bytes] = []
    thread = threading.Thread(
        target=lambda: answers.append(
            channel.unary_unary(SAY)(b"", timeout=WAIT_S, wait_for_ready=True)
        )
    )
    thread.start()
    view.show(a)
    thread.join(WAIT_S)
    assert answers == [b"a"]


def test_options(view: View, servers: list[Echo], open_channel: Open) -> None:
    a = instance("a", 1, ports={"grpc": servers[0].port})
    assert open_channel(View(a), port="grpc").unary_unary(SAY)(b"") == b"a"
    with pytest.raises(InvalidArgument, match="drain_s"):
        grpc_channel(View(a), drain_s=-1)
    hashed = open_channel(view, ConsistentHash(), hash_key="user")
    wait_until(
        lambda: (
            len({hashed.unary_unary(SAY)(b"", metadata=[("user", str(n))]) for n in range(20)}) == 2
        ),
        WAIT_S,
        lambda: "all keys at one",
    )
    for number in range(5):
        metadata = [("user", str(number))]
        assert len({hashed.unary_unary(SAY)(b"", metadata=metadata) for _ in range(4)}) == 1


def test_credentials_are_those_of_each_connection(
    view: View, servers: list[Echo], open_channel: Open
) -> None:
    tls = open_channel(view, credentials=grpc.ssl_channel_credentials())
    # These servers speak no TLS.
    error = failure_of(lambda: tls.unary_unary(SAY)(b"", timeout=WAIT_S))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    servers.append(Echo("local", credentials=grpc.local_server_credentials()))
    local = open_channel(
        View(instance("local", servers[-1].port)), credentials=grpc.local_channel_credentials()
    )
    me = grpc.access_token_call_credentials("secret")
    assert local.unary_unary(SAY)(b"", timeout=WAIT_S, credentials=me) == b"local"
    assert servers[-1].metadata["authorization"] == "Bearer secret"


def test_it_is_a_channel_for_grpcio(view: View, open_channel: Open) -> None:
    channel = open_channel(view)
    grpc.channel_ready_future(channel).result(WAIT_S)
    states: list[grpc.ChannelConnectivity] = []
    channel.subscribe(states.append)
    assert states == [grpc.ChannelConnectivity.READY]
    view.show()
    wait_until(
        lambda: states[1:] == [grpc.ChannelConnectivity.TRANSIENT_FAILURE],
        WAIT_S,
        lambda: str(states),
    )
    channel.unsubscribe(states.append)


def test_closing_ends_calls_and_takes_no_more(
    view: View, servers: list[Echo], open_channel: Open
) -> None:
    view.show(view.instances()[0])
    channel = open_channel(view)
    say = channel.unary_unary(SAY)
    held = say.future(b"hold", wait_for_ready=True)
    empty = open_channel(View())
    waiting = threading.Event()
    results: list[Any] = []

    def wait() -> None:
        waiting.set()
        results.append(empty.unary_unary(SAY).future(b"", wait_for_ready=True))

    thread = threading.Thread(target=wait)
    thread.start()
    assert servers[0].holding.acquire(timeout=WAIT_S)
    channel.close()
    channel.close()
    assert held.exception(WAIT_S).code() is grpc.StatusCode.CANCELLED
    with pytest.raises(ValueError, match="closed channel"):
        say(b"")
    # Closing `channel` took long enough for the call to begin to wait.
    assert waiting.is_set()
    empty.close()
    thread.join(WAIT_S)
    assert [result.code() for result in results] == [grpc.StatusCode.CANCELLED]


@pytest.mark.full
def test_no_call_is_lost_while_instances_come_and_go_all_the_time(
    view: View, open_channel: Open
) -> None:
    a, b = view.instances()
    channel = open_channel(view)
    over = threading.Event()

    def call() -> int:
        calls = 0
        while not over.is_set():
            channel.unary_unary(SAY)(b"", timeout=WAIT_S)
            list(channel.unary_stream(f"/{SERVICE}/Count")(b"2", timeout=WAIT_S))
            channel.unary_unary(SAY).future(b"", timeout=WAIT_S).result()
            calls += 1
        return calls

    with ThreadPoolExecutor(6) as pool:
        callers = [pool.submit(call) for _ in range(6)]
        for _ in range(FLIPS):
            view.show(*random.choice([(a,), (b,), (a, b)]))
            over.wait(random.choice([0, 0.005, 0.05]))
        over.set()
        assert min(caller.result() for caller in callers) > 0
    wait_until(lambda: not channel._retired, WAIT_S, lambda: "not closed")
    assert not any(each.outstanding for each in channel._watchers)
