"""What filters let through, and what a change is to whoever asked for some instances only."""

from __future__ import annotations

import pytest

from coordinator.api.registry_messages import (
    Suits,
    change_message,
    definition_of,
    instance_message,
    naming_fields,
    status_of,
)
from coordinator.catalog.definitions import FieldError
from coordinator.catalog.feeds import Change
from coordinator.catalog.instances import Instance, InstanceState, parse_instance
from coordinator.errors import RequestError
from coordinator.state.model import Cause, KeyValue
from coordinator_client.pb import registry_pb2 as pb


def read(message: pb.Instance, status: str = "passing") -> Instance:
    kv = KeyValue(b"", definition_of(message), 5, 6, 1, 7)
    found = parse_instance(message.service, message.id, kv, InstanceState(status))
    assert found is not None
    return found


MESSAGE = pb.Instance(service="pay", id="a", address="h", port=1, tags=["x"], zone="z")


def test_no_state_is_told() -> None:
    assert status_of(pb.STATE_UNSPECIFIED, "passing") == "passing"
    with pytest.raises(FieldError, match="state: is missing"):
        status_of(pb.STATE_UNSPECIFIED)


def test_a_message_comes_back_as_it_went() -> None:
    message = instance_message(read(MESSAGE))
    assert (message.create_revision, message.mod_revision, message.session) == (5, 6, 7)
    assert message.healthy and message.state == pb.STATE_PASSING and not message.guarded
    assert definition_of(message) == definition_of(MESSAGE)


def test_a_protocol_is_told() -> None:
    described = pb.Instance(service="pay", id="a", address="h", port=1)
    described.ports["dns"].CopyFrom(pb.Port(port=53, protocol="udp"))
    assert instance_message(read(described)).ports["dns"].protocol == "udp"


@pytest.mark.parametrize(
    ("asked", "suits"),
    [
        ({}, True),
        ({"healthy": True}, False),
        ({"tag": "x", "zone": "z"}, True),
        ({"tag": "y"}, False),
        ({"zone": "y"}, False),
    ],
)
def test_filters(asked: dict[str, object], suits: bool) -> None:
    request = pb.RegistryListRequest(service="pay", **asked)  # type: ignore[arg-type]  # fields of the message
    assert Suits(request)(read(MESSAGE, "draining")) is suits
    assert not Suits(request)(None)


def test_a_change_depends_on_who_looks() -> None:
    well, ill = read(MESSAGE), read(MESSAGE, "critical")
    every, healthy = Suits(pb.RegistryListRequest()), Suits(pb.RegistryListRequest(healthy=True))
    cases = [
        (None, well, pb.Change.ADDED, pb.Change.ADDED),
        (None, ill, pb.Change.ADDED, None),
        (well, ill, pb.Change.CHANGED, pb.Change.REMOVED),
        (ill, well, pb.Change.CHANGED, pb.Change.ADDED),
        (well, None, pb.Change.REMOVED, pb.Change.REMOVED),
        (ill, None, pb.Change.REMOVED, None),
    ]
    for before, after, to_all, to_some in cases:
        cause = Cause.NONE if after else Cause.SESSION_EXPIRED
        for suits, expected in ((every, to_all), (healthy, to_some)):
            message = change_message(Change(before, after, cause), suits)
            assert (None if message is None else message.type) == expected
            if message is not None:
                assert message.cause == int(cause)


def test_what_is_wrong_becomes_an_error_of_the_request() -> None:
    with pytest.raises(RequestError) as caught, naming_fields("instance."):
        raise FieldError("port", "is none")
    assert caught.value.details == {"field": "instance.port"}
