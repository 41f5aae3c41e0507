from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from coordinator_client import Cause, Event, EventBatch, EventType, Instance, KeyValue
from coordinator_client.cli.services import services_in
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
