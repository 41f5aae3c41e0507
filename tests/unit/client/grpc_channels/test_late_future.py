"""Futures of calls that wait for an instance, are canceled, or begin again."""

from __future__ import annotations

import threading
from typing import Any

import grpc
import pytest

from tests.unit.client.grpc_channels.echoes import (
    SAY,
    SERVICE,
    WAIT_S,
    Echo,
    First,
    LateNews,
    Open,
    View,
    wait_until,
)


def test_it_does_not_wait_where_it_is_made(view: View, open_channel: Open) -> None:
    a, _ = view.instances()
    view.show()
    channel = open_channel(view)
    future = channel.unary_unary(SAY).future(b"", timeout=WAIT_S, wait_for_ready=True)
    assert future.running() and future.is_active()
    assert not future.done()
    assert 0 < future.time_remaining() <= WAIT_S
    with pytest.raises(grpc.FutureTimeoutError):
        future.result(0.01)
    ended = threading.Event()
    told: list[Any] = []
    future.add_done_callback(told.append)
    assert future.add_callback(ended.set)
    view.show(a)
    assert future.result(WAIT_S) == b"a"
    assert ended.wait(WAIT_S)
    assert told == [future]
    assert future.done() and not future.running() and not future.is_active()
    assert future.code() is grpc.StatusCode.OK
    assert future.details() == ""
    assert future.exception() is None
    assert future.traceback() is None
    assert (list(future.initial_metadata()), list(future.trailing_metadata())) == ([], [])
    assert not future.add_callback(ended.set)
    future.add_done_callback(told.append)
    assert told == [future, future]
    assert not future.cancel()


def test_one_that_waits_can_be_canceled(open_channel: Open) -> None:
    channel = open_channel(View())
    for future in (
        channel.unary_unary(SAY).future(b"", wait_for_ready=True),
        channel.stream_unary(f"/{SERVICE}/Join").future(iter([b"x"]), wait_for_ready=True),
    ):
        assert future.time_remaining() is None
        assert future.cancel()
        assert not future.cancel()
        assert future.cancelled()
        for wait in (future.result, future.exception):
            with pytest.raises(grpc.FutureCancelledError):
                wait(WAIT_S)
        assert future.code() is grpc.StatusCode.CANCELLED


def test_one_under_way_can_be_canceled(view: View, servers: list[Echo], open_channel: Open) -> None:
    view.show(view.instances()[0])
    channel = open_channel(view)
    future = channel.unary_unary(SAY).future(b"hold", timeout=WAIT_S)
    assert servers[0].holding.acquire(timeout=WAIT_S)
    assert future.cancel()
    with pytest.raises(grpc.FutureCancelledError):
        future.result(WAIT_S)
    assert future.cancelled()


def test_one_that_fails_tells_why(view: View, open_channel: Open) -> None:
    channel = open_channel(view)
    failed = channel.unary_unary(SAY).future(b"fail NOT_FOUND")
    assert failed.exception(WAIT_S).code() is failed.code() is grpc.StatusCode.NOT_FOUND
    assert failed.details() == "as you wished"
    assert "as you wished" in failed.debug_error_string()
    late = channel.unary_unary(SAY).future(b"hold", timeout=0.01)
    assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_one_that_never_left_goes_to_another_instance(
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
    assert channel.unary_unary(SAY).future(b"").result(WAIT_S) == b"b"
    assert news.asked == 1


def test_a_callback_that_fails_harms_no_other(
    view: View, open_channel: Open, caplog: pytest.LogCaptureFixture
) -> None:
    view.show()
    channel = open_channel(view)
    future = channel.unary_unary(SAY).future(b"", wait_for_ready=True)
    ended = threading.Event()
    future.add_done_callback(lambda _: 1 / 0)
    future.add_callback(ended.set)
    future.cancel()
    assert ended.wait(WAIT_S)
    assert "a callback of a call failed" in caplog.text


def test_a_request_that_cannot_be_sent(view: View, open_channel: Open) -> None:
    def refuse(request: object) -> bytes:
        raise TypeError("no")

    channel = open_channel(view)
    say = channel.unary_unary(SAY, request_serializer=refuse)
    for _ in range(2):  # the first waits for a connection
        failed = say.future(b"", timeout=WAIT_S)
        assert failed.exception(WAIT_S).code() is grpc.StatusCode.INTERNAL
