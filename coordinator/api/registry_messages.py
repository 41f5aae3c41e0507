"""Between the messages of `coordinator.v1.Registry` and what the catalog knows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from coordinator.api.registry_checks import check_fields, check_message
from coordinator.api.registry_states import STATES, STATUSES
from coordinator.catalog.definitions import FieldError, check_service, encode_definition
from coordinator.catalog.feeds import Change
from coordinator.catalog.instances import Instance
from coordinator.rpc import invalid
from coordinator_client.pb import common_pb2, registry_pb2

_TCP = "tcp"


class Filtered(Protocol):
    """A request that asks for some instances only."""

    service: str
    healthy: bool
    tag: str
    zone: str


class Suits:
    """Which instances a request asks for. Equal `identity`, equal answers."""

    __slots__ = ("_healthy", "_tag", "_zone", "identity")

    def __init__(self, request: Filtered) -> None:
        self._healthy, self._tag, self._zone = request.healthy, request.tag, request.zone
        self.identity = (self._healthy, self._tag, self._zone)

    def __call__(self, instance: Instance | None) -> bool:
        """Whether there is an instance, and it is one of them."""
        return (
            instance is not None
            and (not self._healthy or instance.healthy)
            and (not self._tag or self._tag in instance.tags)
            and (not self._zone or self._zone == instance.zone)
        )


@contextlib.contextmanager
def naming_fields(prefix: str = "") -> Iterator[None]:
    """Turns what is wrong with a field into the error of the request."""
    try:
        yield
    except FieldError as error:
        raise invalid(prefix + error.field, error.message) from None


def check_service_asked_for(service: str) -> None:
    """Raises RequestError if a request names something that is no service; it may name none."""
    if service:
        with naming_fields():
            check_service(service)


def status_of(state: registry_pb2.State, unspecified: str = "") -> str:
    """Returns the word for a state. Raises FieldError for none, unless there is a default, and for an unknown one."""
    status = STATUSES.get(state) or (unspecified if state == 0 else "")
    if not status:
        raise FieldError("state", f"{state} is no state" if state else "is missing")
    return status


def definition_of(instance: registry_pb2.Instance) -> bytes:
    """Returns the value of the definition of an instance. Raises FieldError."""
    return encode_definition(
        instance.service,
        instance.id,
        {
            "address": instance.address,
            "port": instance.port,
            "metadata": dict(instance.metadata),
            "ports": {name: _port(port) for name, port in instance.ports.items()} or None,
            "tags": list(instance.tags) or None,
            "weight": instance.weight if instance.HasField("weight") else None,
            "zone": instance.zone or None,
            "version": instance.version or None,
            "checks": {name: check_fields(name, check) for name, check in instance.checks.items()}
            or None,
        },
    )


def _port(port: registry_pb2.Port) -> object:
    if port.protocol in ("", _TCP):
        return port.port
    return {"port": port.port, "protocol": port.protocol}


def instance_message(instance: Instance) -> registry_pb2.Instance:
    """Returns the message of an instance."""
    protocols = instance.protocols
    return registry_pb2.Instance(
        service=instance.service,
        id=instance.id,
        address=instance.address,
        port=instance.port,
        ports={
            name: registry_pb2.Port(port=port, protocol=protocols.get(name, _TCP))
            for name, port in instance.ports.items()
        },
        metadata=instance.metadata,
        tags=instance.tags,
        weight=instance.weight,
        zone=instance.zone or "",
        version=instance.version or "",
        state=STATES[instance.state.status],
        note=instance.state.note,
        healthy=instance.healthy,
        guarded=instance.state.guarded,
        create_revision=instance.create_revision,
        mod_revision=instance.mod_revision,
        session=instance.session,
        checks={name: check_message(c) for name, c in instance.check_definitions.items()},
        check_results={
            name: registry_pb2.CheckResult(state=STATES[result.status], note=result.note)
            for name, result in instance.checks.items()
        },
    )


def change_message(change: Change, suits: Suits) -> registry_pb2.Change | None:
    """Returns what a change is to somebody who asked for some instances only; None: nothing."""
    pb = registry_pb2.Change
    was, now = suits(change.before), suits(change.after)
    if now:
        assert change.after is not None
        kind = pb.CHANGED if was else pb.ADDED
        return pb(type=kind, instance=instance_message(change.after))
    if was:
        cause = common_pb2.Cause.Name(int(change.cause))
        return pb(type=pb.REMOVED, instance=instance_message(change.instance), cause=cause)
    return None
