from __future__ import annotations

import socket
import threading
import time

import grpc
import pytest

from coordinator_client import _io_sync as io
from coordinator_client import calls
from coordinator_client.failures import CallFailed
from coordinator_client.pb import watch_pb2
from tests.unit.client.stage import StageThread
from tests.unit.client.test_io_async import create


def test_a_flag_can_be_waited_for() -> None:
    flag = io.Flag()
    assert not flag.wait(0.01)
    timer = threading.Timer(0.01, flag.set)
    timer.start()
    assert flag.wait(5)
    timer.join()
    assert flag.is_set() and flag.wait(0)
    flag.clear()
    assert not flag.is_set()


def test_each_thread_is_another() -> None:
    others: list[object] = []
    io.Worker(lambda: others.append(io.current()), "other").join(10)
    assert io.current() == io.current() != others[0]


def test_a_guard_keeps_threads_apart() -> None:
    guard, inside, overlaps = io.Guard(), [], []

    def enter() -> None:
        for _ in range(200):
            with guard:
                inside.append(1)
                overlaps.append(len(inside))
                inside.pop()

    workers = [io.Worker(enter, f"w{number}") for number in range(4)]
    for worker in workers:
        worker.join(10)
    assert overlaps == [1] * 800


def test_a_worker_does_not_wait_for_itself() -> None:
    done = io.Flag()
    ready = io.Flag()
    workers: list[io.Worker] = []

    def run() -> None:
        ready.wait(5)
        workers[0].join(5)
        done.set()

    workers.append(io.Worker(run, "self"))
    ready.set()
    assert done.wait(1)


def test_the_clock_goes_on() -> None:
    first = io.now_s()
    assert first <= io.now_s() < first + 1


def test_a_stream_goes_both_ways_and_ends(stage_thread: StageThread) -> None:
    channel = io.Channel(stage_thread.endpoints[0])
    stream = channel.open_stream(calls.WATCH)
    stream.send(create(5))
    assert stream.next(5).created.start_revision == 5
    with pytest.raises(TimeoutError):
        stream.next(0.02)
    stream.send(watch_pb2.WatchRequest())
    for _ in range(2):
        with pytest.raises(CallFailed) as caught:
            stream.next(5)
        assert caught.value.failure.reason == "INVALID_ARGUMENT"
    channel.close()


def test_canceling_a_stream_wakes_its_reader_and_ends_its_threads(
    stage_thread: StageThread,
) -> None:
    before = threading.active_count()
    channel = io.Channel(stage_thread.endpoints[0])
    stream = channel.open_stream(calls.WATCH)
    stream.send(create(5))
    stream.next(5)
    timer = threading.Timer(0.05, stream.cancel)
    timer.start()
    with pytest.raises(CallFailed, match="canceled"):
        stream.next()
    timer.join()
    stream.cancel()
    channel.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_closed_channel_makes_no_calls(stage_thread: StageThread) -> None:
    channel = io.Channel(stage_thread.endpoints[0])
    stream = channel.open_stream(calls.WATCH)
    stream.send(create(5))
    stream.next(5)
    channel.close()
    with pytest.raises(CallFailed):
        stream.next(5)
    with pytest.raises(CallFailed):
        channel.call(calls.STATUS, calls.STATUS.request(), 1)
    late = channel.open_stream(calls.WATCH)
    with pytest.raises(CallFailed):
        late.next(1)
    late.cancel()


def test_a_mailbox_makes_its_sender_wait() -> None:
    mailbox: io._Mailbox[watch_pb2.WatchResponse] = io._Mailbox()
    taken: list[bool] = []

    def fill() -> None:
        for number in range(10):
            taken.append(mailbox.put(watch_pb2.WatchResponse(watch_id=number)))

    worker = io.Worker(fill, "fill")
    worker.join(0.05)
    assert taken == [True] * io.STREAM_MESSAGES_MAX
    assert [mailbox.get(5).watch_id for _ in range(3)] == [0, 1, 2]
    worker.join(0.05)
    assert taken == [True] * (io.STREAM_MESSAGES_MAX + 3)
    mailbox.close()
    worker.join(5)
    assert taken == [True] * 7 + [False] * 3
    with pytest.raises(CallFailed):
        mailbox.get(1)


def test_a_node_that_takes_no_messages_does_not_fill_memory() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        channel = io.Channel(f"127.0.0.1:{listening.getsockname()[1]}")
        stream = channel.open_stream(calls.WATCH)
        # grpcio has taken one or two that it has not sent.
        for revision in range(io.STREAM_OUTGOING_MAX + 3):
            stream.send(create(revision))
        with pytest.raises(CallFailed) as raised:
            stream.next(5)
        assert raised.value.failure.code is grpc.StatusCode.UNAVAILABLE
        assert "takes no" in raised.value.failure.message
        assert stream._outgoing.qsize() <= io.STREAM_OUTGOING_MAX + 1
        stream.cancel()
        channel.close()
