from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from coordinator_client import (
    Cause,
    CheckResult,
    Event,
    EventBatch,
    EventType,
    GrpcCheck,
    HttpCheck,
    Instance,
    InstanceState,
    KeyValue,
    TcpCheck,
)
from coordinator_client.cli.services import checks_of, services_in
from tests.unit.cli.conftest import Coordctl

WEB = Instance("web", "w-1", "10.0.0.1", 80, metadata={"b": "2", "a": "1"}, zone="z")


def key_of(instance: Instance) -> bytes:
    return f"/services/{instance.service}/instances/{instance.id}".encode()


def test_services_and_instances(coordctl: Coordctl) -> None:
    client = coordctl.client
    client.answers |= {"services": ("web",), "instances": (WEB,)}
    assert coordctl.json("services") == {
        "services": [{"name": "web", "instances": 1, "passing": 1}]
    }
    _, row = coordctl.run("services", "web").stdout.splitlines()
    assert row.split() == ["w-1", "10.0.0.1:80", "passing", "z", "a=1", "b=2"]
    client.answers["instances"] = ()
    assert coordctl.json("services", "web", code=3)["instances"] == []


def test_what_the_guard_keeps_is_shown_as_such(coordctl: Coordctl) -> None:
    kept = replace(WEB, state=InstanceState("critical", "kept", guarded=True))
    coordctl.client.answers["instances"] = (kept,)
    assert "critical,guarded" in coordctl.run("services", "web").stdout
    (shown,) = coordctl.json("services", "web")["instances"]
    assert shown["state"] == {"status": "critical", "note": "kept", "guarded": True}


def test_checks_are_shown_where_there_are_any(coordctl: Coordctl) -> None:
    checks = {"tcp": CheckResult("critical", "refused"), "http": CheckResult("passing")}
    checked = replace(WEB, id="w-2", zone=None, checks=checks)
    coordctl.client.answers["instances"] = (WEB, checked)
    head, _, row = coordctl.run("services", "web").stdout.splitlines()
    assert head.split()[-1] == "CHECKS" and row.endswith("http=passing tcp=critical")
    shown = coordctl.json("services", "web")["instances"]
    assert [instance["checks"] for instance in shown] == [
        {},
        {
            "http": {"status": "passing", "note": ""},
            "tcp": {"status": "critical", "note": "refused"},
        },
    ]


def test_checks_are_made_of_options() -> None:
    pace = {"interval": 5.0, "timeout": 1.0, "deregister_critical_after": 60.0}
    assert checks_of(None, False, None, pace) == {}
    assert checks_of("/health", True, "", pace) == {
        "http": HttpCheck("/health", interval=5, timeout=1, deregister_critical_after=60),
        "tcp": TcpCheck(interval=5, timeout=1, deregister_critical_after=60),
        "grpc": GrpcCheck(service="", interval=5, timeout=1, deregister_critical_after=60),
    }


def test_wrong_checks_are_refused_with_the_field(coordctl: Coordctl) -> None:
    place = ("register", "web", "--address", "127.0.0.1", "--port", "80")
    for options, word in (
        (("--check-http", "health"), "url"),
        (("--check-tcp", "--check-interval", "0"), "interval"),
        (("--check-tcp", "--check-timeout", "nan"), "timeout"),
        (("--check-tcp", "--deregister-after", "-1"), "deregister_critical_after"),
        (("--deregister-after", "60"), "--deregister-after needs a check"),
    ):
        assert word in coordctl.run(*place, *options, code=2).stderr


def test_all_services_are_watched_at_once(coordctl: Coordctl) -> None:
    kv = KeyValue(key_of(WEB), WEB.to_json(), 5, 5, 1)
    strange = KeyValue(b"/services/No Name/x", b"", 5, 5, 1)
    gone = Event(EventType.DELETE, KeyValue(kv.key, b"", 0, 6, 0), cause=Cause.CONNECTION_LOST)
    batches = [EventBatch(5, snapshot=True, kvs=(kv, strange)), EventBatch(6, (gone,))]

    @contextmanager
    def watch(key: str, **options: bool) -> Iterator[Iterator[EventBatch]]:
        assert (key, options) == ("/services/", {"prefix": True, "snapshot": True})
        yield iter(batches)

    coordctl.client.answers["watch"] = watch
    assert coordctl.run("services", "--watch").stdout.splitlines() == [
        "added    web  w-1  10.0.0.1:80  passing",
        "removed  web  w-1  10.0.0.1:80  connection-lost",
    ]
    assert services_in(batches[0]) == {"web", "No Name"}


def test_a_snapshot_in_between_removes_what_it_lacks(coordctl: Coordctl) -> None:
    kv = KeyValue(key_of(WEB), WEB.to_json(), 5, 5, 1)
    batches = [EventBatch(5, snapshot=True, kvs=(kv,)), EventBatch(9, snapshot=True)]

    @contextmanager
    def watch(key: str, **options: bool) -> Iterator[Iterator[EventBatch]]:
        yield iter(batches)

    coordctl.client.answers["watch"] = watch
    assert [
        line.split()[0] for line in coordctl.run("services", "--watch").stdout.splitlines()
    ] == [
        "added",
        "removed",
    ]
