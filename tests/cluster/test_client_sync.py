"""The blocking face against real nodes that are killed under it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

import coordinator_client
from coordinator_client import Client
from tests.cluster.harness import Cluster, wait_until

WAIT_S = 15
TTL_S = 3.0


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with coordinator_client.connect(cluster.endpoints, timeout_s=10) as client:
        yield client


@pytest.mark.full
def test_session_and_watch_outlive_the_node_that_they_are_attached_to(
    cluster: Cluster, client: Client
) -> None:
    seen: list[str] = []
    written = [str(number) for number in range(60)]
    with client.session(TTL_S) as session, client.watch("/w/", prefix=True) as watch:
        session.put("/ephemeral")

        def read() -> None:
            for batch in watch:
                seen.extend(event.kv.text for event in batch.events)

        reader = threading.Thread(target=read)
        reader.start()
        wait_until(lambda: session.endpoint is not None, WAIT_S, lambda: "not attached")
        node = cluster.endpoints.index(session.endpoint or "") + 1
        for text in written:
            client.put("/w/x", text)
            if text == "20":
                cluster.kill(node)
            time.sleep(0.08)
        wait_until(lambda: seen[-1:] == written[-1:], WAIT_S, lambda: f"saw {seen[-3:]}")
        watch.close()
        reader.join(WAIT_S)
        assert not reader.is_alive()
        assert seen == written
        assert not session.lost.is_set()
        assert session.remaining_s > 0
        assert client.get("/ephemeral") is not None
    assert client.get("/ephemeral") is None
