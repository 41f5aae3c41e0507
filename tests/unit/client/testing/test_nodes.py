from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator_client.testing import NodeError, Nodes
from coordinator_client.testing.nodes import find_free_ports

pytestmark = pytest.mark.xdist_group("testing")


def test_ports_are_free_and_different() -> None:
    assert len(set(find_free_ports(20))) == 20


def test_a_cluster_of_none(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="at least one"):
        Nodes(tmp_path, 0)


def test_without_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NodeError, match="pip install raft-coordinator"):
        Nodes(tmp_path)


def test_data_stay_while_nodes_end_and_start(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 1)
    with nodes as (node,):
        with nodes.connect() as client:
            client.put("/k", "v")
        node.stop()
        assert not node.running
        assert "does not run" in repr(node)
        nodes.start()
        with nodes.connect() as client:
            assert client.get("/k") is not None
        node.pause()
        assert "paused" in repr(node)
        nodes.recover()
        nodes.clear()
        with nodes.connect() as client:
            assert client.get("/k") is None
        pid = node.pid
    assert pid is not None and not node.running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_node_that_can_not_start_says_why(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 1)
    nodes._plan(1)
    nodes[0].configure(["--name=n1", "--client-address=nowhere"])
    with pytest.raises(NodeError, match=r"(?s)n1 ended with code 2:.*nowhere"):
        nodes.start()


@pytest.mark.skipif(sys.platform != "linux", reason="nothing ends children with their parent")
def test_nodes_go_with_a_program_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib\n"
        "from coordinator_client.testing import Nodes\n"
        "nodes = Nodes(pathlib.Path(sys.argv[1]), 1).start()\n"
        "print(nodes[0].pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE
    ) as started:
        assert started.stdout is not None
        pid = int(started.stdout.readline())
        end = os.pidfd_open(pid)
        started.send_signal(signal.SIGKILL)
    try:
        assert select.select([end], [], [], 10)[0]
    finally:
        os.close(end)
