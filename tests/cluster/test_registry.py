"""The Registry of real nodes: what it registers is found everywhere, and missed when its program dies."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from coordinator_client import ChangeType, connect
from coordinator_client.pb import common_pb2
from coordinator_client.pb import registry_pb2 as pb
from coordinator_client.pb.registry_pb2_grpc import RegistryStub
from tests.cluster.harness import Cluster
from tests.cluster.test_dns import wait_for

pytestmark = pytest.mark.full

PROGRAM = """
import sys, time
import grpc
from coordinator_client.pb import registry_pb2, registry_pb2_grpc, session_pb2, session_pb2_grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    instance = registry_pb2.Instance(service="doomed", id="d-1", address="10.0.0.9", port=80)
    request = registry_pb2.RegisterRequest(instance=instance, ttl_ms=20_000)
    session = registry_pb2_grpc.RegistryStub(channel).Register(request, timeout=10).session

    def renewals():
        while True:
            yield session_pb2.SessionKeepAliveRequest(ids=[session])
            time.sleep(0.5)

    for answer in session_pb2_grpc.SessionStub(channel).KeepAlive(renewals()):
        assert answer.results[0].alive
        print("alive", flush=True)
"""


def instance(id: str, service: str, **fields: object) -> pb.Instance:
    return pb.Instance(service=service, id=id, address="10.0.0.7", port=8080, **fields)  # type: ignore[arg-type]  # fields of the message


def register(endpoint: str, described: pb.Instance) -> int:
    with grpc.insecure_channel(endpoint) as channel:
        request = pb.RegisterRequest(instance=described, ttl_ms=30_000)
        return int(RegistryStub(channel).Register(request, timeout=10).session)


def listed(endpoint: str, service: str) -> list[pb.Instance]:
    with grpc.insecure_channel(endpoint) as channel:
        request = pb.RegistryListRequest(service=service)
        return list(RegistryStub(channel).List(request, timeout=10).instances)


def test_what_is_registered_at_one_node_is_found_at_all_and_by_every_way(
    shared_cluster: Cluster,
) -> None:
    one = shared_cluster.endpoints[0]
    session = register(one, instance("n-1", "native", tags=["blue"], state="STATE_WARNING"))
    for endpoint in shared_cluster.endpoints:
        (found,) = listed(endpoint, "native")
        assert (found.id, found.session, found.healthy) == ("n-1", session, True)
    with connect(shared_cluster.endpoints) as client, client.discover("native") as view:
        (seen,) = view.instances()
        assert (seen.id, seen.session, seen.state.status) == ("n-1", session, "warning")
        for i in (1, 2, 3):
            wait_for(shared_cluster, i, {"10.0.0.7"}, "native.service.coordinator.")
        # And the other way round.
        with client.register("native", "10.0.0.8", 80, id="n-2"):
            assert [each.id for each in listed(one, "native")] == ["n-1", "n-2"]
        changes = view.changes()
        client.deregister("native", "n-1")
        while (change := changes.next(10)).type is not ChangeType.REMOVED or (
            change.instance.id != "n-1"
        ):
            pass
        assert change.cause.value == "deregistered"
    assert listed(one, "native") == []
    for i in (1, 2, 3):
        wait_for(shared_cluster, i, None, "native.service.coordinator.")


def watched(endpoint: str, service: str) -> Iterator[pb.RegistryWatchResponse]:
    with grpc.insecure_channel(endpoint) as channel:
        yield from RegistryStub(channel).Watch(pb.RegistryWatchRequest(service=service), timeout=30)


def test_a_program_that_is_killed_is_missed_at_once_and_everyone_knows_why(
    shared_cluster: Cluster,
) -> None:
    one, two, three = shared_cluster.endpoints
    messages = watched(three, "doomed")
    assert next(messages).snapshot
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, one], stdout=subprocess.PIPE)
    assert program.stdout is not None
    try:
        assert program.stdout.readline() == b"alive\n"
        (change,) = next(messages).changes
        assert (change.type, change.instance.id) == (pb.Change.ADDED, "d-1")
        killed_at = time.monotonic()
        program.send_signal(signal.SIGKILL)
        (change,) = next(messages).changes
        lag_s = time.monotonic() - killed_at
        print(f"gone after {lag_s:.2f} s")
        assert change.type == pb.Change.REMOVED
        assert change.cause == common_pb2.CAUSE_CONNECTION_LOST
        assert lag_s < 5, "not by its TTL of 20 seconds"
        assert listed(two, "doomed") == []
    finally:
        program.kill()
        program.wait()
        program.stdout.close()
        messages.close()  # type: ignore[attr-defined]  # of a generator


def test_who_watches_a_node_that_dies_goes_on_at_another(cluster: Cluster) -> None:
    leader = cluster.leader()
    others = [i for i in (1, 2, 3) if i != leader]
    session = register(cluster.endpoints[others[0] - 1], instance("a", "lasting"))
    messages = watched(cluster.endpoints[leader - 1], "lasting")
    assert [change.instance.id for change in next(messages).changes] == ["a"]
    cluster.kill(leader)
    with pytest.raises(grpc.RpcError):
        next(messages)
    endpoint = cluster.endpoints[others[1] - 1]
    messages = watched(endpoint, "lasting")
    message = next(messages)
    assert message.snapshot and not message.reset
    assert [(c.instance.id, c.instance.session) for c in message.changes] == [("a", session)]
    register(endpoint, instance("b", "lasting"))
    assert [change.instance.id for change in next(messages).changes] == ["b"]
    messages.close()  # type: ignore[attr-defined]  # of a generator


def test_reflection_shows_the_registry(shared_cluster: Cluster) -> None:

    with grpc.insecure_channel(shared_cluster.endpoints[0]) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "coordinator.v1.Registry" in database.get_services()
        file = database.FindFileContainingSymbol("coordinator.v1.Registry")
        (service,) = file.service
        assert [method.name for method in service.method] == [
            "Register",
            "Deregister",
            "SetState",
            "List",
            "Watch",
        ]
