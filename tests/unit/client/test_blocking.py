"""The blocking face does what the asyncio face does; it is generated from it, over other primitives."""

from __future__ import annotations

import queue
import threading
import time

import pytest

import coordinator_client
from coordinator_client import (
    ChangeType,
    Client,
    Closed,
    Compacted,
    DeadlineExceeded,
    Get,
    Key,
    Put,
    Session,
    SessionLost,
    Unavailable,
)
from tests.unit.client.stage import StageThread

WAIT_S = 10


def test_keys(blocking: Client) -> None:
    assert blocking.get("/a") is None
    first = blocking.put("/a", "1")
    blocking.put("/b/c", "2")
    kv = blocking.get("/a")
    assert kv is not None and kv.text == "1"
    result = (
        blocking.txn()
        .when(Key("/a").mod_revision == first.revision)
        .then(Put("/a", "2"), Get("/b/c"))
        .commit()
    )
    assert result.succeeded
    assert [kv.name for kv in blocking.range_all("/", prefix=True, page_size=1)] == ["/a", "/b/c"]
    assert blocking.children("/") == ("a", "b")
    blocking.compact(result.revision)
    with pytest.raises(Compacted):
        blocking.get("/a", revision=first.revision)
    assert blocking.delete("/", prefix=True).deleted == 2
    assert len(blocking.members()) == 3
    assert blocking.status().leader_name == "a"


def test_a_watch_goes_on_where_it_was(stage_thread: StageThread, blocking: Client) -> None:
    expected: list[str] = []
    seen: list[str] = []
    with (
        coordinator_client.connect(stage_thread.addresses) as writer,
        blocking.watch("/w/", prefix=True) as watch,
    ):
        for round_ in range(4):
            expected += [f"{round_}.{number}" for number in range(3)]
            for text in expected[-3:]:
                writer.put("/w/x", text)
            while len(seen) < len(expected):
                seen += [event.kv.text for event in watch.next(WAIT_S).events]
            assert watch.endpoint is not None
            lost = watch.endpoint
            writer.put("/w/x", f"{round_}.last")
            expected.append(f"{round_}.last")
            stage_thread.stop_front(lost)
            while len(seen) < len(expected):
                seen += [event.kv.text for event in watch.next(WAIT_S).events]
            stage_thread.start_front(lost)
            # The writer notices with a call that may be made twice.
            writer.get("/w/x")
        with pytest.raises(DeadlineExceeded):
            watch.next(0.05)
    assert seen == expected


def test_closing_a_watch_ends_iteration_in_another_thread(blocking: Client) -> None:
    watch = blocking.watch("/w").open()
    seen = []
    first = threading.Event()

    def read() -> None:
        for batch in watch:
            seen.append(batch)
            first.set()

    reader = threading.Thread(target=read)
    reader.start()
    blocking.put("/w", "1")
    assert first.wait(WAIT_S)
    watch.close()
    reader.join(WAIT_S)
    assert not reader.is_alive()
    assert len(seen) == 1
    with pytest.raises(Closed):
        watch.next()


def test_a_callback_can_end_a_watch(blocking: Client) -> None:
    with (
        blocking.watch("/w") as watch,
        blocking.session(0.5, on_lost=lambda session: watch.cancel()) as session,
    ):
        blocking.close_session(session.id)
        assert list(watch) == []


def test_a_session_moves_to_another_node(stage_thread: StageThread, blocking: Client) -> None:
    with blocking.session(1) as session:
        session.put("/e")
        deadline = time.monotonic() + WAIT_S
        while session.endpoint is None and time.monotonic() < deadline:
            time.sleep(0.01)
        lost = session.endpoint
        assert lost is not None
        stage_thread.stop_front(lost)
        assert not session.lost.wait(1.2)
        assert session.endpoint != lost
        assert blocking.get("/e") is not None
    assert blocking.get("/e") is None


def test_a_lost_session_is_told_once(blocking: Client) -> None:
    told: queue.SimpleQueue[Session] = queue.SimpleQueue()
    with blocking.session(0.6, on_lost=told.put) as session:
        blocking.close_session(session.id)
        assert session.lost.wait(WAIT_S)
        with pytest.raises(SessionLost):
            session.put("/e")
        # From the background, which may come after whoever waited for it.
        assert told.get(timeout=WAIT_S) is session
    assert told.empty()


def test_services(blocking: Client) -> None:
    with (
        blocking.discover("pay") as view,
        blocking.register("pay", "127.0.0.1", 80, ttl=0.6) as mine,
    ):
        assert view.wait_for(1, WAIT_S) == (mine.instance,)
        changes = iter(view)
        assert next(changes).type is ChangeType.ADDED
        assert mine.session is not None
        blocking.close_session(mine.session.id)
        assert next(changes).type is ChangeType.REMOVED
        assert next(changes).type is ChangeType.ADDED
        assert blocking.services() == ("pay",)
        assert mine.wait_registered(WAIT_S)
        assert blocking.instances("pay") == (mine.instance,)
        waiting = threading.Timer(0.1, view.close)
        waiting.start()
        assert list(changes) == []
        waiting.join()
    assert blocking.instances("pay") == ()


def test_one_client_serves_many_threads(stage_thread: StageThread, blocking: Client) -> None:
    problems: list[Exception] = []

    def work(number: int) -> None:
        try:
            for round_ in range(20):
                blocking.put(f"/m/{number}", str(round_))
                kv = blocking.get(f"/m/{number}")
                assert kv is not None and kv.text == str(round_)
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert problems == []


def test_no_thread_is_left(stage_thread: StageThread) -> None:
    before = threading.active_count()
    with coordinator_client.connect(stage_thread.addresses) as client:
        with client.register("pay", "127.0.0.1", 80), client.discover("pay") as view:
            view.wait_for(1, WAIT_S)
        with client.watch("/a"):
            client.put("/a")
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_without_a_node(stage_thread: StageThread) -> None:
    with coordinator_client.connect("127.0.0.1:1", timeout_s=0.2) as client:
        with pytest.raises(Unavailable):
            client.put("/a")
        with pytest.raises(Unavailable):
            client.watch("/a").open()
        with pytest.raises(Unavailable):
            client.session().open()
