"""scripts/cluster as a person at a terminal uses it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from coordinator_client import connect
from scripts.localcluster import launch
from scripts.localcluster.command import main
from tests.cluster.harness import find_base_port, wait_until

SCRIPT = str(launch.ROOT / "scripts" / "cluster")


class Done(NamedTuple):
    """What a verb printed."""

    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cluster"


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a verb on the folder of the test, within this program; stops what is left over."""

    def run_verb(*arguments: str, code: int = 0, at: Path = folder) -> Done:
        capsys.readouterr()
        try:
            ended = main([arguments[0], "--data-dir", str(at), *arguments[1:]])
        except SystemExit as leave:
            ended = int(leave.code or 0)
        done = Done(*capsys.readouterr())
        assert ended == code, done
        return done

    yield run_verb
    run_verb("stop")


def run_program(*arguments: str, code: int = 0) -> None:
    """Runs the script as a program of its own."""
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def nodes_in(folder: Path) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = json.loads((folder / "cluster.json").read_text())["nodes"]
    return nodes


def pids_in(folder: Path) -> list[int | None]:
    return [node["pid"] for node in nodes_in(folder)]


def is_alive(pid: int) -> bool:
    return launch.identity(pid) != ""


def test_life_of_a_cluster(run: Run, folder: Path) -> None:
    port = find_base_port(3)
    started = run("start", "--detach", "--base-port", str(port))
    assert "3 nodes are ready" in started.stdout
    assert f"COORDINATOR_ENDPOINTS=127.0.0.1:{port},127.0.0.1:{port + 10}" in started.stdout
    nodes = nodes_in(folder)
    assert [node["name"] for node in nodes] == ["n1", "n2", "n3"]
    assert set(nodes[1]) == {"name", "pid", "client", "peer", "http", "dns", "data_dir"}
    assert [nodes[1][key] for key in ("client", "peer", "http", "dns")] == [
        f"127.0.0.1:{port + 10 + offset}" for offset in range(4)
    ]
    first = [node["pid"] for node in nodes]
    assert all(map(is_alive, first))

    assert "runs already" in run("start", "--detach", code=1).stderr

    run("kill", "2")
    assert pids_in(folder) == [first[0], None, first[2]]
    assert not is_alive(first[1])
    run("kill", "n2")
    assert "n2 does not run" in run("pause", "2", code=1).stderr
    shown = run("status").stdout
    assert shown.count("running") == 2
    assert shown.count("stopped") == 1

    run("restart", "2")
    second = pids_in(folder)
    assert second[1] is not None
    assert is_alive(second[1])

    run("pause", "3")
    assert launch.is_paused(first[2])
    assert "paused" in run("status").stdout
    run("resume", "3")
    assert not launch.is_paused(first[2])
    run_program("pause", "--data-dir", str(folder), "3")
    run_program("restart", "3", "--data-dir", str(folder))
    third = pids_in(folder)[2]
    assert third not in (None, first[2])
    assert not is_alive(first[2])
    assert run("logs", "3").stdout.count("name=n3") >= 2

    run_program("stop", "--data-dir", str(folder))
    assert pids_in(folder) == [None, None, None]
    run("stop")

    assert "keeps them" in run("start", "--detach", "--nodes", "5", code=2).stderr
    assert "keeps them" in run("start", "--detach", "--base-port", str(port + 1), code=2).stderr
    run("start", "--detach", "--nodes", "3", "--base-port", str(port))
    assert None not in pids_in(folder)


@pytest.mark.full
def test_two_clusters_side_by_side(run: Run, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    try:
        run("start", "--detach", "--nodes", "1", "--base-port", str(find_base_port(1)))
        run("start", "--detach", "--nodes", "1", "--base-port", str(find_base_port(1)), at=other)
        run("stop")
        (pid,) = pids_in(other)
        assert pid is not None
        assert is_alive(pid)
    finally:
        run("stop", at=other)


@pytest.mark.parametrize(
    "arguments",
    [
        ["start", "--nodes", "0"],
        ["start", "--base-port", "65530"],
        ["start", "--nodes", "three"],
        ["kill"],
        ["kill", "x"],
        ["dance"],
    ],
    ids=" ".join,
)
def test_misuse_is_exit_code_2_and_leaves_nothing(
    run: Run, folder: Path, arguments: list[str]
) -> None:
    run(*arguments, code=2)
    assert not folder.exists()


def test_verbs_without_a_cluster(run: Run, folder: Path) -> None:
    run("stop")
    for verb in (["status"], ["kill", "1"], ["restart", "1"], ["logs", "1"]):
        assert "there is no cluster" in run(*verb, code=1).stderr
    assert not folder.exists()


def test_a_folder_that_can_not_be_made_is_said_kindly(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run("start", at=tmp_path / "file" / "cluster", code=1)
    assert "can't make the folder" in refused.stderr


def test_a_port_in_use_is_named_and_leaves_nothing(run: Run, folder: Path) -> None:
    port = find_base_port(3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + 11))
        taken.listen()
        refused = run("start", "--base-port", str(port), code=1)
    assert f"port {port + 11}, for n2, is in use" in refused.stderr
    assert not folder.exists()


def test_a_node_that_ends_early_is_named_with_its_log(run: Run, folder: Path) -> None:
    run("start", "--detach", "--nodes", "1", "--base-port", str(find_base_port(1)))
    run("stop")
    launch_file = folder / "launch.json"
    content = json.loads(launch_file.read_text())
    launch_file.write_text(json.dumps(content | {"token": "of another cluster"}))
    failed = run("start", "--detach", code=1)
    assert f"read {folder}/n1/log" in failed.stderr
    assert pids_in(folder) == [None]


def test_a_pid_that_is_somebody_else_now_is_left_alone(run: Run, folder: Path) -> None:
    run("start", "--detach", "--nodes", "1", "--base-port", str(find_base_port(1)))
    run("kill", "1")
    (node,) = nodes_in(folder)
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        node["pid"] = bystander.pid
        (folder / "cluster.json").write_text(json.dumps({"nodes": [node]}))
        run("kill", "1")
        run("stop")
        assert pids_in(folder) == [None]
        assert bystander.poll() is None
    finally:
        bystander.communicate(b"\n")


def test_unreadable_folder_is_said_kindly(run: Run, folder: Path) -> None:
    folder.mkdir()
    (folder / "cluster.json").write_text("{")
    assert "can't be read" in run("status", code=1).stderr
    (folder / "cluster.json").unlink()


@contextlib.contextmanager
def foreground(folder: Path, nodes: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, SCRIPT, "start", "--data-dir", str(folder)]
    running = subprocess.Popen(
        [*command, "--nodes", str(nodes), "--base-port", str(find_base_port(nodes))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.send_signal(signal.SIGTERM)
        running.communicate(timeout=30)


def read_until(running: subprocess.Popen[str], text: str) -> str:
    assert running.stdout is not None
    seen = ""
    for line in running.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} was not printed:\n{seen}")


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.full),
        pytest.param(signal.SIGHUP, marks=pytest.mark.full),
    ],
)
def test_foreground_shows_logs_and_stops_all_when_interrupted(
    run: Run, folder: Path, number: signal.Signals
) -> None:
    with foreground(folder, 3) as running:
        seen = read_until(running, "Ctrl-C stops them.")
        assert "3 nodes are ready" in seen
        assert "n1 │ " in seen
        assert "\x1b[" not in seen, "colours are for terminals"
        pids = pids_in(folder)
        run("kill", "2")
        read_until(running, "n2 has ended")
        run("restart", "2")
        read_until(running, "n2 │ ")
        running.send_signal(number)
        output, _ = running.communicate(timeout=30)
        assert "All nodes have stopped." in output
        assert running.returncode == 0
    assert pids_in(folder) == [None, None, None]
    assert not any(is_alive(pid) for pid in pids if pid is not None)


def test_foreground_ends_when_the_cluster_is_stopped_elsewhere(run: Run, folder: Path) -> None:
    with foreground(folder, 1) as running:
        read_until(running, "Ctrl-C stops them.")
        run("stop")
        wait_until(lambda: running.poll() is not None, 10, lambda: "it goes on")
        assert running.returncode == 0


@pytest.mark.full
def test_a_node_joins_and_goes(run: Run, folder: Path) -> None:
    run("join", code=1)
    run("start", "--detach", "--nodes", "1", "--base-port", str(find_base_port(2)))
    refused = run("join", code=1)
    peer = f"127.0.0.1:{int(nodes_in(folder)[0]['peer'].rpartition(':')[2]) + 10}"
    assert f"coordctl member add n2 {peer}" in refused.stderr
    assert len(nodes_in(folder)) == 1
    with connect(nodes_in(folder)[0]["client"]) as client:
        client.add_member("n2", peer)
        assert "coordctl member promote n2" in run("join").stdout
        assert "learner" in run("status").stdout.splitlines()[2]
        run("join", "2", code=2)
        run("forget", "2", code=2)
        client.promote_member("n2", wait=True, timeout_s=20)
        run("restart", "n2")
        client.remove_member("n2", timeout_s=20)
    wait_until(lambda: "stopped" in run("status").stdout, 20, lambda: "n2 does not stop")
    run("forget", "2")
    assert [node["name"] for node in nodes_in(folder)] == ["n1"]
