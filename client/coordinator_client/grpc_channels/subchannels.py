"""Which sub-channels there are, how they stand, and which one gets a call: bookkeeping without I/O.

Not safe for threads by itself; a channel calls it under its lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import grpc

from coordinator_client.balancing import Balancer, Call, Ejection, Policy
from coordinator_client.errors import NoInstance
from coordinator_client.instances import Instance
from coordinator_client.ports import PROTOCOL
from coordinator_client.views import accepting, usable

__all__ = ["Pick", "Subchannel", "SubchannelTable", "target_of"]

READY = grpc.ChannelConnectivity.READY
TRANSIENT_FAILURE = grpc.ChannelConnectivity.TRANSIENT_FAILURE


class Subchannel:
    """The connection to one instance."""

    def __init__(self, instance: Instance, target: str) -> None:
        self.instance = instance
        """As the view shows it now."""
        self.target = target
        self.state = grpc.ChannelConnectivity.IDLE
        self.failed = False
        """Whether it could not connect, and has not since."""
        self.losses = 0
        """How often it was connected and then was not."""
        self.outstanding = 0
        """Calls under way."""
        self.retired = False
        """Gets no more calls."""
        self.channel: Any = None
        """The real channel, a grpc.Channel or a grpc.aio.Channel."""
        self.invocations: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        """Its multi-callables, by the multi-callable of the program that they serve."""

    @property
    def pending(self) -> bool:
        """Whether it may connect any moment."""
        return not self.failed and self.state is not READY


class Pick:
    """A call that was given to a sub-channel."""

    def __init__(self, subchannel: Subchannel, call: Call) -> None:
        self.subchannel = subchannel
        self.call = call
        self.losses = subchannel.losses
        self.over = False

    @property
    def lost(self) -> bool:
        """Whether the connection that it was given to is known to be gone."""
        return self.subchannel.losses != self.losses or self.subchannel.state is not READY


class SubchannelTable:
    """The sub-channels of the instances that may get calls, and the balancer over the connected ones."""

    def __init__(
        self,
        service: str,
        *,
        policy: Policy | None = None,
        tag: str | None = None,
        zone: str | None = None,
        ejection: Ejection | None = Ejection(),  # noqa: B008  # frozen
        port: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._accepts = accepting(tag, zone)
        self._port = port
        self._seen: Sequence[Instance] | None = None
        self._active: dict[str, Subchannel] = {}
        self._ready: tuple[Instance, ...] | None = None
        self._balancer = Balancer(self._list_ready, policy, ejection=ejection, clock=clock)

    @property
    def subchannels(self) -> tuple[Subchannel, ...]:
        """Those that are not retired."""
        return tuple(self._active.values())

    @property
    def pending(self) -> bool:
        """Whether one may connect any moment: calls wait for that, as those of any gRPC channel do."""
        return any(subchannel.pending for subchannel in self._active.values())

    @property
    def state(self) -> grpc.ChannelConnectivity:
        """What a channel over all of them is."""
        if any(subchannel.state is READY for subchannel in self._active.values()):
            return READY
        return grpc.ChannelConnectivity.CONNECTING if self.pending else TRANSIENT_FAILURE

    @property
    def complaint(self) -> str:
        """Why no call can be made."""
        if not self._active:
            which = "" if self._port is None else f" with a TCP port {self._port}"
            return f"no instance of {self._service}{which} may get calls"
        targets = ", ".join(subchannel.target for subchannel in self._active.values())
        return f"no instance of {self._service} can be reached at {targets}"

    def update(self, instances: Sequence[Instance]) -> tuple[list[Subchannel], list[Subchannel]]:
        """Takes the instances that a view shows; returns the sub-channels to open and those that are retired."""
        if instances is self._seen:
            return [], []
        self._seen = instances
        before, self._active, self._ready = self._active, {}, None
        added = []
        for instance in usable(filter(self._accepts, instances)):
            target = target_of(instance, self._port)
            if target is None:
                continue
            subchannel = before.get(instance.id)
            if subchannel is None or subchannel.target != target:
                subchannel = Subchannel(instance, target)
                added.append(subchannel)
            subchannel.instance = instance
            self._active[instance.id] = subchannel
        retired = [
            subchannel
            for id, subchannel in before.items()
            if self._active.get(id) is not subchannel
        ]
        for subchannel in retired:
            subchannel.retired = True
        return added, retired

    def note_state(self, subchannel: Subchannel, state: grpc.ChannelConnectivity) -> None:
        """A sub-channel has got into another state."""
        if subchannel.state is READY and state is not READY:
            subchannel.losses += 1
        subchannel.state = state
        if state is READY:
            subchannel.failed = False
        elif state is TRANSIENT_FAILURE:
            subchannel.failed = True
        self._ready = None

    def pick(self, key: str | bytes = b"") -> Pick | None:
        """Gives a call to one that is connected; None if none is. `finish` must follow."""
        try:
            call = self._balancer.pick(key)
        except NoInstance:
            return None
        subchannel = self._active[call.instance.id]
        subchannel.outstanding += 1
        return Pick(subchannel, call)

    def finish(self, pick: Pick, ok: bool | None) -> bool:
        """The call is over; see `Call.done` for `ok`. Returns whether its sub-channel can be closed now."""
        if pick.over:
            return False
        pick.over = True
        pick.call.done(ok)
        pick.subchannel.outstanding -= 1
        return pick.subchannel.retired and not pick.subchannel.outstanding

    def _list_ready(self) -> tuple[Instance, ...]:
        """The same object as long as nothing changes, as a balancer wants it."""
        if self._ready is None:
            self._ready = tuple(
                subchannel.instance
                for subchannel in self._active.values()
                if subchannel.state is READY
            )
        return self._ready


def target_of(instance: Instance, port: str | None) -> str | None:
    """Returns address:port, with the port of that name if one is given; None if the instance has none over TCP.

    It does not raise: others may have one, and this one may get one.
    """
    if port is None:
        return instance.endpoint
    number = instance.ports.get(port)
    if number is None or instance.protocol_of(port).lower() != PROTOCOL:
        return None
    return instance.endpoint.removesuffix(str(instance.port)) + str(number)
