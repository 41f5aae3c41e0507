"""A view that is kept in a file, while real nodes and real programs go: nobody is ever without an address to call."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import coordinator_client
from coordinator_client import ServiceView
from tests.cluster.harness import Cluster, wait_until

pytestmark = pytest.mark.full

FOLLOWER = """
import sys, coordinator_client
endpoints, path = sys.argv[1:]
with coordinator_client.connect(endpoints) as client:
    with client.discover("pay", keep_in=path) as view:
        print(view.stale, *sorted(i.id for i in view.instances()), flush=True)
        sys.stdin.read()
"""


def ids(view: ServiceView) -> list[str]:
    return [instance.id for instance in view.instances()]


def follow(cluster: Cluster, path: Path) -> tuple[subprocess.Popen[str], list[str]]:
    """Starts a program that keeps a view; returns it, and what it found."""
    running = subprocess.Popen(
        [sys.executable, "-c", FOLLOWER, ",".join(cluster.endpoints), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    return running, running.stdout.readline().split()


@pytest.fixture
def programs() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for program in started:
        program.kill()
        program.communicate()


def wait_current(*views: ServiceView) -> None:
    wait_until(lambda: not any(view.stale for view in views), 30, lambda: f"stale: {views}")


def test_programs_start_while_the_whole_cluster_is_away(
    cluster: Cluster, tmp_path: Path, programs: list[subprocess.Popen[str]]
) -> None:
    path = tmp_path / "pay.view"
    with (
        coordinator_client.connect(cluster.endpoints) as client,
        client.register("pay", "10.0.0.1", 80, id="a", ttl=60, disconnect_grace=None),
        client.discover("pay", keep_in=path) as view,
    ):
        program, found = follow(cluster, path)
        programs.append(program)
        assert found == ["False", "a"]
        wait_until(path.exists, 10, lambda: "no file")
        # All at once, and without a word.
        program.kill()
        for node in (1, 2, 3):
            cluster.kill(node)
        wait_until(lambda: view.stale, 15, lambda: f"not stale: {view}")
        assert ids(view) == ["a"]
        for _ in range(3):
            program, found = follow(cluster, path)
            programs.append(program)
            assert found == ["True", "a"]
        with (
            coordinator_client.connect(cluster.endpoints) as late,
            late.discover("pay", keep_in=path, keep_wait_s=0.1) as second,
        ):
            assert (second.stale, ids(second)) == (True, ["a"])
            assert second.balancer().pick().instance.id == "a"
            for node in (1, 2, 3):
                cluster.restart(node)
            wait_current(view, second)
            with late.register("pay", "10.0.0.2", 80, id="b"):
                assert [i.id for i in second.wait_for(2, 10)] == ["a", "b"]
                assert [i.id for i in view.wait_for(2, 10)] == ["a", "b"]
