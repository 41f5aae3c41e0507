"""Client libraries of etcd, as others publish them, over a killed leader. Each runs in a process of its own.

They are installed once into .etcd-clients/ of the checkout.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coordinator_client.testing.nodes import Nodes

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".etcd-clients"
PROGRAMS = Path(__file__).parent / "clients"
INSTALL_S = 300
KEYS = [f"/k/w{number:02}" for number in range(20)]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with Nodes(tmp_path / "cluster", 3) as cluster:
        yield cluster


def install(*commands: list[str], into: Path) -> None:
    """Installs into a folder, unless that was done; skips the test if there is nowhere to have it from."""
    done = into / "installed"
    if done.exists():
        return
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for command in commands:
        ran = subprocess.run(command, cwd=into, capture_output=True, text=True, timeout=INSTALL_S)
        if ran.returncode:
            pytest.skip(f"{command[0]} can't install it: {ran.stderr[-300:]}")
    done.touch()


def python_with(package: str) -> str:
    folder = CACHE / package
    python = str(folder / "venv" / "bin" / "python")
    install(
        [sys.executable, "-m", "venv", "venv"],
        [python, "-m", "pip", "install", "--quiet", "--no-input", package],
        into=folder,
    )
    return python


def run(nodes: Nodes, command: list[str], **more: str) -> list[dict[str, Any]]:
    """Runs a program, and kills the leader when it is half through; returns what it tells."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **more},
    )
    assert process.stdin is not None and process.stdout is not None
    told = []
    try:
        for line in process.stdout:
            told.append(json.loads(line))
            if "half" in told[-1]:
                nodes.leader().kill()
                process.stdin.write("\n")
                process.stdin.flush()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    return told


def expect(told: list[dict[str, Any]]) -> None:
    """Checks what every program tells."""
    said = {name: value for fields in told for name, value in fields.items()}
    assert said["got"] == "1" and said["txn"] is True and said["read"] == "2"
    assert said["granted"] == 30 and said["keys"] == ["/k/l"] and said["gone"] is True
    assert said["locked"] is True
    # A write whose outcome nobody knew may have been made twice.
    seen = list(dict.fromkeys(said["seen"]))
    assert seen == KEYS[: len(seen)] and len(said["seen"]) == 20


def a_follower(nodes: Nodes) -> str:
    """Returns the endpoint of a node that lives on, for clients that know but one."""
    leader = nodes.leader()
    return next(node.endpoint for node in nodes if node is not leader)


def test_etcd3_of_python(nodes: Nodes) -> None:
    command = [python_with("etcd3"), str(PROGRAMS / "program_etcd3.py"), a_follower(nodes)]
    # Its generated code is older than what protobuf's fast parser takes.
    expect(run(nodes, command, PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python"))


def test_aetcd(nodes: Nodes) -> None:
    command = [python_with("aetcd"), str(PROGRAMS / "program_aetcd.py"), a_follower(nodes)]
    expect(run(nodes, command))


@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm here")
def test_etcd3_of_npm(nodes: Nodes) -> None:
    folder = CACHE / "npm"
    install(["npm", "install", "--no-audit", "--no-fund", "etcd3"], into=folder)
    # Node looks for packages beside the program.
    program = shutil.copy(PROGRAMS / "program_npm.js", folder)
    expect(run(nodes, ["node", str(program), ",".join(nodes.endpoints)]))
