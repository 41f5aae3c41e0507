"""`coordinator serve` as a person starts it, and starts it wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import coordinator_client
from coordinator import __version__


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def arguments(path: Path, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "coordinator",
        "serve",
        f"--data-dir={path}",
        f"--client-address=127.0.0.1:{free_port()}",
        f"--peer-address=127.0.0.1:{free_port()}",
        *more,
    ]


def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=cwd)


@contextmanager
def serving(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Runs a node until the block ends; yields when it serves."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "serving" in line:
                break
        else:
            raise AssertionError(f"ended with {process.wait()}")
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    with serving(arguments(tmp_path / "d")) as process:
        process.send_signal(number)
        assert process.wait(timeout=15) == 0
    assert (tmp_path / "d").is_dir()


def test_two_processes_on_one_folder_are_refused(tmp_path: Path) -> None:
    with serving(arguments(tmp_path / "d")):
        second = run(*arguments(tmp_path / "d"))
    assert second.returncode == 2
    assert "Traceback" not in second.stderr
    assert second.stderr.count("\n") == 1 and str(tmp_path / "d") in second.stderr


def test_the_folder_of_another_member_or_cluster_is_refused(tmp_path: Path) -> None:
    with serving(arguments(tmp_path / "d")):
        pass
    for more in ("--name=n2", "--cluster-token=other"):
        refused = run(*arguments(tmp_path / "d", more))
        assert refused.returncode == 2, more
        assert "Traceback" not in refused.stderr and str(tmp_path / "d") in refused.stderr


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for option in ("--client-address", "--peer-address"):
            address = f"{option}=127.0.0.1:{taken.getsockname()[1]}"
            refused = run(*arguments(tmp_path / "d", address))
            assert refused.returncode == 2, refused.stderr
            assert "in use" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        "--client-address=nowhere",
        "--client-address=10.0.0.1:80",
        "--cluster=n1",
        "--join=127.0.0.1",
        "--config=/nonexistent/c.toml",
        "--log-level=loud",
    ],
)
def test_a_wrong_setting_is_one_sentence(tmp_path: Path, wrong: str) -> None:
    refused = run(*arguments(tmp_path / "d", wrong))
    assert refused.returncode == 2
    assert refused.stderr.startswith("coordinator: ") and refused.stderr.count("\n") == 1


def test_joining_where_nobody_is_ends_with_a_sentence(tmp_path: Path) -> None:
    command = arguments(tmp_path / "d", f"--join=127.0.0.1:{free_port()}")
    environment = {**os.environ, "COORDINATOR_TIMING_JOIN_MS": "1"}
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    assert refused.returncode == 2, refused.stderr
    assert "no member of the cluster could answer" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_joining_can_be_interrupted(tmp_path: Path) -> None:
    command = arguments(tmp_path / "d", f"--join=127.0.0.1:{free_port()}")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as joining:
        assert joining.stderr is not None
        line = joining.stderr.readline()
        joining.send_signal(signal.SIGTERM)
        assert joining.wait(timeout=15) == 0
        assert "waiting for a member" in line


def test_a_folder_that_can_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run(*arguments(tmp_path / "file" / "d"))
    assert refused.returncode == 2, refused.stderr
    assert "Traceback" not in refused.stderr


def test_damage_stops_the_node_with_a_way_out(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    command = arguments(folder)
    address = command[5].partition("=")[2]
    with serving(command), coordinator_client.connect(address) as client:
        for _ in range(20):
            client.put("/k", "v" * 100)
    (segment,) = folder.glob("journal-*")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)
    refused = run(*arguments(folder))
    assert refused.returncode == 1, refused.stderr
    assert segment.name in refused.stderr and "coordctl member remove" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_version_and_help() -> None:
    assert __version__ in run(sys.executable, "-m", "coordinator", "--version").stdout
    assert "--data-dir" in run(sys.executable, "-m", "coordinator", "serve", "--help").stdout


def test_the_environment_counts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "coordinator", "serve"]
    environment = {**os.environ, "COORDINATOR_NAME": "not a name"}
    refused = subprocess.run(
        command, capture_output=True, text=True, timeout=30, cwd=tmp_path, env=environment
    )
    assert refused.returncode == 2 and "not a name" in refused.stderr


@pytest.mark.full
def test_a_folder_is_inspected_forced_and_served_again(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    command = arguments(folder)
    address = command[5].partition("=")[2]
    with serving(command), coordinator_client.connect(address) as client:
        client.put("/k", "v")
        before = client.status(address)
    assert run(sys.executable, "-m", "coordinator", "inspect", str(folder)).returncode == 0
    for _ in range(2):
        # The second time, with the flag left there by mistake, nothing more is done.
        with (
            serving([*command, "--force-new-cluster"]),
            coordinator_client.connect(address) as client,
        ):
            status = client.status(address)
            assert client.get("/k") is not None
        assert status.cluster_id != before.cluster_id
        assert before.revision + 10**9 == status.revision
    min(folder.glob("journal-*")).write_bytes(b"")
    done = run(sys.executable, "-m", "coordinator", "inspect", str(folder), "--json")
    assert done.returncode == 1 and '"ok":false' in done.stdout


def test_recovery_from_nothing_is_refused_with_a_sentence(tmp_path: Path) -> None:
    for command in (
        ["inspect", "nothing"],
        ["restore", "nothing", "--data-dir", "d"],
        ["force-new-cluster", "--data-dir", "d"],
        ["serve", "--data-dir", "d", "--force-new-cluster"],
    ):
        done = run(sys.executable, "-m", "coordinator", *command, cwd=tmp_path)
        assert done.returncode == 2 and done.stderr.startswith("coordinator: "), command
    assert not list(tmp_path.iterdir())
