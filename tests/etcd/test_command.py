"""The commands that move a store, with a real etcd and a node of ours."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coordinator_client.testing.nodes import Nodes
from tests.etcd import peers
from tests.etcd.remote import Remote
from tests.etcd.requests import delete, get, put, txn

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not peers.installed(), reason="there is no etcd here: make test-etcd"),
]
KV = "etcdserverpb.KV"
COUNT = 2_000


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "coordinator", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def content(remote: Remote) -> dict[str, str]:
    code, answer = remote.call(f"{KV}/Range", get(b"\0", b"\0"))
    assert code == "OK"
    return {kv["key"]: kv.get("value", "") for kv in answer.get("kvs", ())}


def wait_same(one: Remote, other: Remote) -> None:
    deadline = time.monotonic() + 60
    while content(one) != content(other):
        assert time.monotonic() < deadline, "the copy does not follow"
        time.sleep(0.1)


def test_a_live_etcd_is_taken_over_and_given_back(tmp_path: Path) -> None:
    with (
        peers.etcd(tmp_path / "etcd") as theirs,
        peers.etcd(tmp_path / "back") as back,
        Nodes(tmp_path / "ours", 1) as nodes,
        Remote(theirs) as etcd,
        Remote(nodes[0].endpoint) as ours,
        Remote(back) as returned,
    ):
        for first in range(0, COUNT, 100):
            puts = tuple(put(b"k%05d" % n, b"%d" % n) for n in range(first, first + 100))
            assert etcd.call(f"{KV}/Txn", txn((), puts))[0] == "OK"
        moving = start("import-etcd", "--from", theirs, "--to", nodes[0].endpoint)
        try:
            wait_same(etcd, ours)
            for number in range(50):
                request = txn((), (put(b"new%d" % number), delete(b"k%05d" % number)))
                assert etcd.call(f"{KV}/Txn", request)[0] == "OK"
            wait_same(etcd, ours)
            moving.send_signal(signal.SIGTERM)
            told, _ = moving.communicate(timeout=60)
        finally:
            moving.kill()
            moving.wait()
        assert moving.returncode == 0, told
        assert f"copied {COUNT} keys, followed 50 revisions" in told and "no differences" in told
        again = start("import-etcd", "--from", theirs, "--to", nodes[0].endpoint, "--once")
        told, _ = again.communicate(timeout=60)
        assert again.returncode == 1 and f"has {COUNT} keys there already" in told
        leaving = start("export-etcd", "--from", nodes[0].endpoint, "--to", back, "--once")
        told, _ = leaving.communicate(timeout=60)
        assert leaving.returncode == 0, told
        assert content(returned) == content(ours) and len(content(ours)) == COUNT


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--from", "nowhere"), "--from: 'nowhere' is not of the form host:port"),
        (("--from", "https://a:1"), "connections with TLS are not supported"),
        ((), "Missing option '--from'"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], text: str) -> None:
    done = start("import-etcd", *words)
    told, _ = done.communicate(timeout=30)
    assert done.returncode == 2 and text in told
