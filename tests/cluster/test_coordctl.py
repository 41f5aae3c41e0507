"""coordctl against a real cluster: what it prints, and how it exits."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from coordinator_client import Client, Put, connect
from coordinator_client.cli.commands import root
from scripts.localcluster.launch import identity
from tests.cluster.harness import Cluster, wait_until

COORDCTL = [sys.executable, "-c", "from coordinator_client.cli import main; main()"]
NOWHERE = "127.0.0.1:1"


class Shell:
    """Runs coordctl with the endpoints of a cluster in its environment."""

    def __init__(self, endpoints: str) -> None:
        self.environment = os.environ | {
            "COORDINATOR_ENDPOINTS": endpoints,
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, *arguments: str, code: int = 0, stdin: bytes = b"") -> Result:
        """Runs it within this program, which is quicker."""
        runner = CliRunner(env=self.environment, catch_exceptions=False)
        done = runner.invoke(root, arguments, input=stdin, prog_name="coordctl")
        assert done.exit_code == code, done.output
        return done

    def run_program(self, *arguments: str, code: int = 0) -> str:
        """Runs it as a program of its own; returns what it printed."""
        done = subprocess.run(
            [*COORDCTL, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    def text(self, *arguments: str, code: int = 0, stdin: bytes = b"") -> str:
        return self.run(*arguments, code=code, stdin=stdin).stdout

    def json(self, *arguments: str, code: int = 0, stdin: bytes = b"") -> Any:
        return json.loads(self.text(*arguments, "-o", "json", code=code, stdin=stdin))

    @contextlib.contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        running = subprocess.Popen(
            [*COORDCTL, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()
            running.communicate(timeout=10)


def lines_of(running: subprocess.Popen[str]) -> Iterator[str]:
    assert running.stdout is not None
    return (line.rstrip("\n") for line in running.stdout)


@pytest.fixture(scope="module")
def shell(shared_cluster: Cluster) -> Shell:
    return Shell(",".join(shared_cluster.endpoints))


@pytest.fixture
def client(shared_cluster: Cluster) -> Iterator[Client]:
    with connect(shared_cluster.endpoints) as client:
        yield client


def test_keys_as_text(shell: Shell) -> None:
    assert shell.text("put", "/k/a", "one").startswith("/k/a  revision ")
    assert shell.text("get", "/k/a") == "one\n"
    assert shell.text("get", "/k/a", "--no-newline") == "one"
    assert "was one" in shell.text("put", "/k/a", "two", "--prev")
    shell.run("put", "/k/b/c", stdin=b"\x00\xff")
    assert shell.run("get", "/k/b/c", "--no-newline").stdout_bytes == b"\x00\xff"
    assert shell.text("ls", "/k") == "a\nb\n"
    shown = shell.text("get", "/k/", "--prefix").splitlines()
    assert shown[0].split() == ["KEY", "VALUE", "REVISION", "VERSION", "SESSION"]
    assert shown[1].split()[:2] == ["/k/a", "two"]
    assert shown[2].split()[:2] == ["/k/b/c", "\\x00\\xff"]
    assert shell.text("del", "/k/", "--prefix").startswith("deleted 2  revision ")


def test_keys_that_are_no_text(shell: Shell) -> None:
    key = os.fsdecode(b"/raw\xff")
    assert shell.run_program("put", key, os.fsdecode(b"\xfe\n")).startswith("/raw\\xff  revision ")
    assert shell.run("get", key, "--no-newline").stdout_bytes == b"\xfe\n"
    assert shell.json("get", key)["key_base64"] == "L3Jhd/8="
    assert "no key /rawx\\xfe" in shell.run("get", os.fsdecode(b"/rawx\xfe"), code=3).stderr
    assert shell.run_program("del", key).startswith("deleted 1  revision ")


def wrote_to(running: subprocess.Popen[str], client: Client) -> bool:
    """Makes a change for a watch to print; returns whether that ended it."""
    client.put("/pipe/w", b"x")
    return running.poll() is not None


def test_a_reader_that_has_enough_is_no_failure(shell: Shell, client: Client) -> None:
    client.put("/pipe/big", b"x" * 500_000)
    for arguments in (
        ("get", "/pipe/big"),
        ("get", "/pipe/", "--prefix", "-o", "json"),
        ("watch", "/pipe/", "--prefix"),
    ):
        with shell.running(*arguments) as running:
            assert running.stdout is not None
            running.stdout.close()
            if arguments[0] == "watch":
                wait_until(lambda: wrote_to(running, client), 20, lambda: "it goes on")
            assert running.wait(20) == 0
            running.stdout = None


def test_keys_as_json(shell: Shell) -> None:
    first = shell.json("put", "/j/a", "one")
    assert first == {"key": "/j/a", "revision": first["revision"], "prev": None}
    kv = {
        "key": "/j/a",
        "value": "one",
        "create_revision": first["revision"],
        "mod_revision": first["revision"],
        "version": 1,
        "session": None,
    }
    assert shell.json("get", "/j/a") == kv
    second = shell.json("put", "/j/a", "two", "--prev")
    assert second["prev"] == kv
    assert shell.json("get", "/j/a", "--revision", str(first["revision"])) == kv
    shell.run("put", "/j/b", stdin=b"\xff")
    page = shell.json("get", "/j/", "--prefix", "--limit", "1")
    assert (page["count"], page["more"], len(page["kvs"])) == (2, True, 1)
    assert shell.json("get", "/j/b")["value_base64"] == "/w=="
    assert shell.json("ls", "/j") == {"path": "/j", "children": ["a", "b"]}
    numbered = shell.json("put", "/j/n-", "x", "--sequence")
    assert numbered["key"] == "/j/n-0000000000"
    deleted = shell.json("del", "/j/a", "--prev")
    assert deleted["deleted"] == 1
    assert deleted["prevs"][0]["value"] == "two"


def test_what_is_not_there_is_exit_code_3(shell: Shell) -> None:
    assert "no key /nothing" in shell.run("get", "/nothing", code=3).stderr
    shell.run("get", "/nothing/", "--prefix", code=3)
    assert shell.json("del", "/nothing", code=3)["deleted"] == 0
    shell.run("session", "close", "12345", code=3)
    shell.run("put", "/x", "y", "--session", "12345", code=3)
    shell.run("services", "nobody", code=3)
    assert shell.text("ls", "/nothing") == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["get"],
        ["dance"],
        ["put", "", "x"],
        ["get", "/a", "-o", "yaml"],
        ["get", "/a", "--endpoints", "here"],
        ["session", "open", "--metadata", "novalue"],
        ["session", "open", "--ttl", "0.001"],
        ["register", "Bad_Name", "--address", "10.0.0.1", "--port", "80"],
        ["services", "--count", "1"],
        ["put", "/large", "x" * 100_000, "--session", "-1"],
    ],
    ids=lambda arguments: " ".join(arguments)[:30],
)
def test_misuse_is_exit_code_2(shell: Shell, arguments: list[str]) -> None:
    assert shell.run(*arguments, code=2).stderr


def test_the_ttl_is_told_in_seconds(shell: Shell) -> None:
    stderr = shell.run("session", "open", "--ttl", "0.001", code=2).stderr
    assert stderr == "coordctl: --ttl must be from 0.5 to 86400 seconds\n"
    stderr = shell.run("session", "open", "--ttl", "1", "--grace", "2", code=2).stderr
    assert stderr == "coordctl: --grace must be from 0 to --ttl seconds\n"


def test_nobody_there_is_exit_code_4(shell: Shell) -> None:
    shell.run("get", "/a", "--endpoints", NOWHERE, "--timeout", "0.5", code=4)
    shell.run("put", "/a", "b", "--endpoints", NOWHERE, "--timeout", "0.5", code=4)
    answer = shell.json("status", "--endpoints", NOWHERE, "--timeout", "0.5", code=4)
    assert answer["members"][0]["endpoint"] == NOWHERE
    assert answer["members"][0]["error"]


def test_history_that_is_gone_is_exit_code_1(shell: Shell, client: Client) -> None:
    client.put("/old", "1")
    client.compact(client.put("/old", "2").revision)
    shell.run("get", "/old", "--revision", "1", code=1)


def test_txn(shell: Shell, tmp_path: Path) -> None:
    document = {
        "compares": [{"key": "/t/lock", "exists": False}],
        "success": [{"put": {"key": "/t/lock", "value": "mine"}}, {"range": {"prefix": "/t/"}}],
        "failure": [{"get": {"key": "/t/lock"}}],
    }
    file = tmp_path / "txn.json"
    file.write_text(json.dumps(document))
    first = shell.json("txn", str(file))
    assert first["succeeded"] is True
    assert first["responses"][0]["put"]["key"] == "/t/lock"
    assert first["responses"][1]["range"]["kvs"][0]["value"] == "mine"
    second = shell.json("txn", stdin=file.read_bytes())
    assert second["succeeded"] is False
    assert second["responses"][0]["get"]["value"] == "mine"
    assert shell.text("txn", str(file)).splitlines()[1:] == ["mine"]
    refused = shell.run("txn", stdin=b'{"success": [{"swap": 1}]}', code=2)
    assert "success[0].swap: there is no such operation" in refused.stderr


def test_watch(shell: Shell, client: Client) -> None:
    client.put("/w/a", "1")
    revision = client.put("/w/b", "2").revision
    with shell.running("watch", "/w/", "--prefix", "--snapshot", "-o", "json") as watching:
        documents = map(json.loads, lines_of(watching))
        snapshot = next(documents)
        assert snapshot["revision"] == revision
        assert [kv["key"] for kv in snapshot["snapshot"]] == ["/w/a", "/w/b"]
        both = client.txn().then(Put("/w/a", "3"), Put("/w/c", "4")).commit().revision
        batch = next(documents)
        assert batch["revision"] == both
        assert [event["key"] for event in batch["events"]] == ["/w/a", "/w/c"]
    with shell.running("watch", "/w/", "--prefix", "--revision", str(revision), "--prev") as text:
        shown = lines_of(text)
        assert next(shown) == f"{revision}  put     /w/b  2"
        assert next(shown) == f"{both}  put     /w/a  3  was 1"
        assert next(shown) == f"{both}  put     /w/c  4"
        deleted = client.delete("/w/b").revision
        assert next(shown) == f"{deleted}  delete  /w/b  deleted  was 2"
        text.send_signal(signal.SIGINT)
        assert text.wait(10) == 130
    counted = shell.text("watch", "/w/b", "--revision", str(revision), "--count", "2", "-o", "json")
    put, delete = map(json.loads, counted.splitlines())
    assert put["events"][0]["type"] == "put"
    assert put["events"][0]["value"] == "2"
    assert delete["events"] == [
        {
            "type": "delete",
            "key": "/w/b",
            "mod_revision": deleted,
            "cause": "deleted",
            "prev": None,
        }
    ]


def test_sessions(shell: Shell, client: Client) -> None:
    opened = shell.json("session", "open", "--ttl", "30", "--metadata", "who=me")
    assert opened["ttl_s"] == 30
    shell.run("put", "/s/a", "x", "--session", opened["id"])
    (listed,) = [s for s in shell.json("session", "list")["sessions"] if s["id"] == opened["id"]]
    assert listed == {
        "id": opened["id"],
        "ttl_s": 30,
        "disconnect_grace_s": listed["disconnect_grace_s"],
        "metadata": {"who": "me"},
        "key_count": 1,
        "open_revision": listed["open_revision"],
    }
    assert opened["id"] in shell.text("session", "list")
    assert shell.json("session", "close", opened["id"]) == {"id": opened["id"], "deleted": 1}
    shell.run("get", "/s/a", code=3)
    with shell.running("session", "open", "--ttl", "1", "--keep") as keeping:
        id = int(next(lines_of(keeping)))
        time.sleep(1.5)
        assert id in [session.id for session in client.sessions()]
        keeping.send_signal(signal.SIGTERM)
        assert keeping.wait(10) == 0
    assert id not in [session.id for session in client.sessions()]


def test_register_without_a_command(shell: Shell, client: Client) -> None:
    arguments = ("--address", "10.0.0.1", "--port", "80", "--id", "p-1", "--zone", "z")
    with shell.running("register", "plain", *arguments, "-o", "json") as registering:
        shown = json.loads(next(lines_of(registering)))
        assert (shown["service"], shown["id"], shown["zone"]) == ("plain", "p-1", "z")
        listed = shell.json("services", "plain")
        assert listed["service"] == "plain"
        (instance,) = listed["instances"]
        assert instance == shown
        assert instance["state"] == {"status": "passing", "note": "", "guarded": False}
        assert "p-1  10.0.0.1:80  passing" in shell.text("services", "plain")
        counted = {s["name"]: s for s in shell.json("services")["services"]}
        assert counted["plain"] == {"name": "plain", "instances": 1, "passing": 1}
        registering.send_signal(signal.SIGTERM)
        assert registering.wait(10) == 0
    assert client.instances("plain") == ()


@pytest.mark.parametrize(
    ("options", "grace_s"), [((), 1.0), (("--grace", "0.4"), 0.4), (("--no-grace",), None)]
)
def test_how_long_a_killed_program_stays_registered(
    shell: Shell, client: Client, options: tuple[str, ...], grace_s: float | None
) -> None:
    arguments = ("--address", "10.0.0.1", "--port", "80", *options, "-o", "json")
    with shell.running("register", "graceful", *arguments) as registering:
        shown = json.loads(next(lines_of(registering)))
        assert client.get_session(int(shown["session"])).disconnect_grace_s == grace_s
        registering.send_signal(signal.SIGTERM)
        assert registering.wait(10) == 0


def test_register_returns_the_code_of_its_command(shell: Shell, client: Client) -> None:
    register = ("register", "coded", "--address", "10.0.0.1", "--port", "80", "--")
    shell.run_program(*register, "sh", "-c", "exit 7", code=7)
    shell.run_program(*register, "sh", "-c", "kill -9 $$", code=137)
    shell.run_program(*register, "no-such-command-here", code=127)
    assert shell.run_program(*register, "echo", "--id", "x") == "--id x\n"
    assert client.instances("coded") == ()


def test_register_forwards_signals(shell: Shell, client: Client) -> None:
    script = "trap 'echo got it; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    register = ("register", "signalled", "--address", "10.0.0.1", "--port", "80", "--")
    with shell.running(*register, "sh", "-c", script) as running:
        shown = lines_of(running)
        assert next(shown) == "ready"
        assert len(client.instances("signalled")) == 1
        running.send_signal(signal.SIGTERM)
        assert next(shown) == "got it"
        assert running.wait(10) == 5
    assert client.instances("signalled") == ()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems can't promise this")
def test_the_command_and_the_instance_die_with_register(shell: Shell, client: Client) -> None:
    register = ("register", "killed", "--address", "10.0.0.1", "--port", "80", "--ttl", "1", "--")
    with shell.running(*register, "sh", "-c", "echo $$; exec sleep 1000") as running:
        pid = int(next(lines_of(running)))
        assert len(client.instances("killed")) == 1
        running.kill()
        wait_until(lambda: not identity(pid), 5, lambda: "the command lives on")
        wait_until(lambda: not client.instances("killed"), 5, lambda: "the instance lives on")


def test_services_watch(shell: Shell, client: Client) -> None:
    with (
        shell.running("services", "watched", "--watch", "-o", "json") as one,
        shell.running("services", "--watch", "--count", "2") as all_services,
    ):
        with client.register("watched", "10.0.0.1", 80, id="w-1"):
            added = json.loads(next(lines_of(one)))
            assert (added["type"], added["instance"]["id"]) == ("added", "w-1")
            assert next(lines_of(all_services)) == "added    watched  w-1  10.0.0.1:80  passing"
        removed = json.loads(next(lines_of(one)))
        assert (removed["type"], removed["cause"]) == ("removed", "session-closed")
        expected = "removed  watched  w-1  10.0.0.1:80  session-closed"
        assert next(lines_of(all_services)) == expected
        assert all_services.wait(10) == 0


def test_status_and_members(shell: Shell, shared_cluster: Cluster) -> None:
    members = shell.json("members")["members"]
    assert [member["name"] for member in members] == ["n1", "n2", "n3"]
    assert [member["client_address"] for member in members] == shared_cluster.endpoints
    assert sum(member["leader"] for member in members) == 1
    statuses = shell.json("status", "--digest")["members"]
    assert [status["name"] for status in statuses] == ["n1", "n2", "n3"]
    assert {status["member_id"] for status in statuses} == {member["id"] for member in members}
    assert [status["role"] for status in statuses].count("leader") == 1
    assert all(status["digest"] for status in statuses)
    assert shell.text("members").splitlines()[0].split()[0] == "NAME"
    assert len(shell.text("status").splitlines()) == 4
