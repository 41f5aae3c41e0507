"""etcdctl, as it is, against a cluster of three nodes, one of which dies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coordinator_client.testing.nodes import Nodes

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(shutil.which("etcdctl") is None, reason="there is no etcdctl here"),
]

TIMEOUT_S = 60


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with Nodes(tmp_path / "cluster", 3) as cluster:
        yield cluster


def command(nodes: Nodes, *words: str) -> list[str]:
    return ["etcdctl", "--endpoints", ",".join(nodes.endpoints), *words]


ENVIRONMENT = {**os.environ, "ETCDCTL_API": "3"}


def etcdctl(nodes: Nodes, *words: str, given: str = "", code: int = 0) -> str:
    """Returns what a command prints; checks how it exits."""
    done = subprocess.run(
        command(nodes, *words),
        input=given,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=ENVIRONMENT,
    )
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stdout


def lines(nodes: Nodes, *words: str, given: str = "") -> list[str]:
    return etcdctl(nodes, *words, given=given).splitlines()


class Running:
    """A command that goes on."""

    def __init__(self, nodes: Nodes, *words: str) -> None:
        self._process = subprocess.Popen(
            command(nodes, *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRONMENT,
        )

    def line(self) -> str:
        """Returns the next line of its output."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def interrupt(self) -> None:
        self._process.terminate()
        self._process.wait(TIMEOUT_S)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def kill_leader(nodes: Nodes) -> None:
    nodes.leader().kill()


def test_every_command_but_those_for_bbolt_files(nodes: Nodes, tmp_path: Path) -> None:
    assert lines(nodes, "put", "a", "1") == ["OK"]
    assert lines(nodes, "put", "a", "2", "--prev-kv") == ["OK", "a", "1"]
    assert lines(nodes, "put", "b", "3") == ["OK"]
    assert lines(nodes, "get", "a", "c", "--order", "DESCEND", "--sort-by", "KEY") == list("b3a2")
    assert lines(nodes, "get", "a", "--rev", "2", "--print-value-only") == ["1"]
    swap = 'value("a") = "2"\n\nput a 4\nget a\n\nget b\n\n'
    assert lines(nodes, "txn", given=swap) == ["SUCCESS", "", "OK", "", "a", "4"]
    assert lines(nodes, "del", "b", "--prev-kv") == ["1", "b", "3"]
    lease = lines(nodes, "lease", "grant", "600")[0].split()[1]
    assert lines(nodes, "put", "l", "x", "--lease", lease) == ["OK"]
    assert "attached keys([l])" in etcdctl(nodes, "lease", "timetolive", lease, "--keys")
    assert lease in lines(nodes, "lease", "list")
    assert "TTL(600)" in etcdctl(nodes, "lease", "keep-alive", lease, "--once")
    assert lines(nodes, "lease", "revoke", lease) == [f"lease {lease} revoked"]
    assert lines(nodes, "get", "l") == []
    assert lines(nodes, "compaction", "4") == ["compacted revision 4"]
    members = json.loads(etcdctl(nodes, "member", "list", "-w", "json"))["members"]
    assert sorted(member["name"] for member in members) == ["n1", "n2", "n3"]
    statuses: list[dict[str, Any]] = json.loads(etcdctl(nodes, "endpoint", "status", "-w", "json"))
    assert len({status["Status"]["leader"] for status in statuses}) == 1
    hashes = json.loads(etcdctl(nodes, "endpoint", "hashkv", "-w", "json"))
    assert len({each["HashKV"]["hash"] for each in hashes}) == 1
    etcdctl(nodes, "endpoint", "health")
    assert lines(nodes, "alarm", "list") == [] and lines(nodes, "alarm", "disarm") == []
    etcdctl(nodes, "defrag")
    saved = tmp_path / "saved"
    one = ["etcdctl", "--endpoints", nodes[0].endpoint, "snapshot", "save", str(saved)]
    subprocess.run(one, check=True, env=ENVIRONMENT, timeout=TIMEOUT_S, capture_output=True)
    assert saved.stat().st_size % 512 == 32
    leader = statuses[0]["Status"]["leader"]
    other = next(member["ID"] for member in members if member["ID"] != leader)
    assert "Leadership transferred" in etcdctl(nodes, "move-leader", f"{other:x}")
    assert lines(nodes, "user", "list") == [] and lines(nodes, "role", "list") == []
    etcdctl(nodes, "auth", "enable", code=1)
    etcdctl(nodes, "put", "a", "--ignore-value")
    etcdctl(nodes, "get", "a", "--rev", "2", code=1)


def test_a_watch_goes_on_over_a_killed_leader(nodes: Nodes) -> None:
    watch = Running(nodes, "watch", "w", "--prefix", "--rev", "1")
    try:
        for number in range(20):
            assert lines(nodes, "put", f"w{number:02}", str(number)) == ["OK"]
            if number == 10:
                kill_leader(nodes)
        seen = [watch.line() for _ in range(60)]
    finally:
        watch.end()
    assert seen[1::3] == [f"w{number:02}" for number in range(20)]


def test_a_lock_holds_under_a_killed_leader(nodes: Nodes) -> None:
    first = Running(nodes, "lock", "l", "--ttl", "10")
    second = None
    try:
        held = first.line()
        assert held.startswith("l/")
        second = Running(nodes, "lock", "l", "--ttl", "10")
        wait_for_keys(nodes, "l/", 2)
        kill_leader(nodes)
        assert lines(nodes, "put", "after", "it") == ["OK"]
        keys = lines(nodes, "get", "l/", "--prefix", "--keys-only", "--sort-by", "CREATE")
        assert next(key for key in keys if key) == held and second.runs and first.runs
        first.interrupt()
        taken = second.line()
        assert taken.startswith("l/") and taken != held
    finally:
        first.end()
        if second is not None:
            second.end()


def test_an_election_holds_under_a_killed_leader(nodes: Nodes) -> None:
    first = Running(nodes, "elect", "e", "one")
    second = observer = None
    try:
        assert first.line().startswith("e/") and first.line() == "one"
        observer = Running(nodes, "elect", "--listen", "e")
        assert observer.line().startswith("e/") and observer.line() == "one"
        second = Running(nodes, "elect", "e", "two")
        wait_for_keys(nodes, "e/", 2)
        kill_leader(nodes)
        assert lines(nodes, "put", "after", "it") == ["OK"]
        assert second.runs and first.runs
        first.interrupt()
        assert second.line().startswith("e/") and second.line() == "two"
        assert observer.line().startswith("e/") and observer.line() == "two"
    finally:
        for each in (first, second, observer):
            if each is not None:
                each.end()


def wait_for_keys(nodes: Nodes, prefix: str, count: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while len([k for k in lines(nodes, "get", prefix, "--prefix", "--keys-only") if k]) < count:
        assert time.monotonic() < deadline, "it did not stand in line"
        time.sleep(0.1)
