"""The network between simulated members: connections that break, links that are silent, slow or full.

It keeps the promises of `consensus.transport.TcpTransport`, by which each end learns of its connections at a moment of
its own: one stream per connection, in order; a new connection takes the place of the old one; nothing of an old one
comes later. With `faithless` it breaks the last two for all but payloads of the application: engine messages may come
twice, out of order, and after a newer connection was made. What guards the engine must survive that, too.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from coordinator.consensus.codec import HEADER, Message, Payload, decode_payload, encode_frame
from coordinator.consensus.interface import Peer
from coordinator.consensus.settings import EngineConfig
from coordinator.consensus.transport import PeerListener
from tests.simulation.loop import Life, SimLoop
from tests.simulation.trace import Trace

LOOK_S = 0.05
"""How often ends look after their connections."""
STAND_IN_S = 2.0
"""As in the transport: the member with the lower id dials when there was no connection for this long."""
DIAL_PAUSE_S = (0.0, 0.02)
"""As in the transport: so soon after a break the member that dials does so again, and the other one looks for it."""

Way = tuple[int, int]
"""(sender, receiver)."""


@dataclass
class Path:
    """The conditions in one direction between two members; they outlast connections."""

    blocked: bool = False
    """Nothing arrives, and nobody is told."""
    clogged: bool = False
    """Sending is refused."""
    delay_s: tuple[float, float] = (0.0005, 0.002)


@dataclass
class Wire:
    """One connection."""

    last_arrival: dict[Way, float] = field(default_factory=dict)
    held: dict[Way, list[bytes]] = field(default_factory=dict)
    """What is stuck on a blocked path: the operating systems send it again and again."""
    on_way_bytes: dict[Way, int] = field(default_factory=dict)
    refused: set[Way] = field(default_factory=set)
    silent_since: dict[Way, float] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    """Members whose end is closed."""


class SimTransport:
    """One member's end of the network: a `consensus.transport.Transport`."""

    def __init__(
        self, network: Network, life: Life, config: EngineConfig, listener: PeerListener
    ) -> None:
        self.life = life
        self.member = config.this.id
        self.listener = listener
        self.client_address = config.client_address
        self.silence_s_max = config.silence_ms_max / 1_000
        self.send_window_bytes_max = network.window_bytes or config.send_window_bytes_max
        self.started = False
        self.peers: set[int] = set()
        self.removed: frozenset[int] = frozenset()
        self.open: dict[int, Wire] = {}
        """The connections as this end knows them, by the other member."""
        self.absent_since: dict[int, float] = {}
        self.next_dial: dict[int, float] = {}
        self._network = network

    async def start(self) -> None:
        self.started = True
        self._network.join(self)

    async def stop(self) -> None:
        self._network.leave(self, announce=True)

    def send(self, member: int, message: Message) -> bool:
        return self._network.send(self, member, message)

    def connected(self, member: int) -> bool:
        return member in self.open

    def set_peers(self, peers: Iterable[Peer], removed: Collection[int]) -> None:
        self.peers = {peer.id for peer in peers if peer.id != self.member}
        self.removed = frozenset(removed)


class Network:
    """All links. Its own callbacks belong to the world, what it tells members to those."""

    def __init__(
        self,
        loop: SimLoop,
        chance: random.Random,
        trace: Trace,
        *,
        faithless: bool,
        window_bytes: int = 0,
    ) -> None:
        self.loop = loop
        self.chance = chance
        self.faithless = faithless
        self.window_bytes = window_bytes
        """Bytes on their way in one direction above which sending is refused; 0: as configured."""
        self.paths: dict[Way, Path] = {}
        self.ends: dict[int, SimTransport] = {}
        self.dark: set[int] = set()
        """Members whose machine lost its power: nobody there refuses a connection."""
        self.refusals = 0
        self.delivered = 0
        self._trace = trace
        loop.after(LOOK_S, None, self._look)

    def path(self, sender: int, receiver: int) -> Path:
        return self.paths.setdefault((sender, receiver), Path())

    def join(self, end: SimTransport) -> None:
        self.ends[end.member] = end
        self.dark.discard(end.member)

    def leave(self, end: SimTransport, *, announce: bool) -> None:
        """A member's process is gone; its operating system tells the others, if it can."""
        if self.ends.get(end.member) is end:
            del self.ends[end.member]
        end.started = False
        if not announce:
            self.dark.add(end.member)
        for other, wire in end.open.items():
            wire.closed.add(end.member)
            if announce:
                self._tell_closed(wire, end.member, other)
        end.open.clear()

    # Messages.

    def send(self, end: SimTransport, receiver: int, message: Message) -> bool:
        wire = end.open.get(receiver)
        if wire is None:
            return False
        way = (end.member, receiver)
        on_way = wire.on_way_bytes.get(way, 0)
        if on_way > end.send_window_bytes_max or self.path(*way).clogged:
            wire.refused.add(way)
            return False
        frame = encode_frame(message)
        wire.on_way_bytes[way] = on_way + len(frame)
        self._carry(wire, way, frame)
        if self.faithless and not isinstance(message, Payload) and self.chance.random() < 0.05:
            self._carry_again(wire, way, frame)
        return True

    def _carry(self, wire: Wire, way: Way, frame: bytes) -> None:
        path = self.path(*way)
        if path.blocked:
            wire.held.setdefault(way, []).append(frame)
            return
        arrival = self.loop.now + self.chance.uniform(*path.delay_s)
        arrival = wire.last_arrival[way] = max(arrival, wire.last_arrival.get(way, 0.0))
        receiver = self.ends.get(way[1])
        if receiver is not None:
            delay_s = arrival - self.loop.now
            self.loop.after(delay_s, receiver.life, self._arrive, wire, way, frame, receiver)

    def _carry_again(self, wire: Wire, way: Way, frame: bytes) -> None:
        """A second copy, whenever it likes."""
        receiver = self.ends.get(way[1])
        if receiver is not None:
            delay_s = self.chance.choice((0.001, 0.05, 1.0)) * self.chance.random()
            self.loop.after(delay_s, receiver.life, self._hand_over, way, frame, receiver)

    def _arrive(self, wire: Wire, way: Way, frame: bytes, receiver: SimTransport) -> None:
        sender = way[0]
        if self.path(*way).blocked:
            wire.held.setdefault(way, []).append(frame)
            return
        if not frame:
            self._complete(wire, sender, receiver)
            return
        wire.on_way_bytes[way] -= len(frame)
        self._relieve(wire, way)
        if receiver.open.get(sender) is wire:
            self._hand_over(way, frame, receiver)
        elif self.faithless:
            message = self._decode(frame)
            if not isinstance(message, Payload):
                self._hand_over(way, frame, receiver)

    def _hand_over(self, way: Way, frame: bytes, receiver: SimTransport) -> None:
        if receiver.started:
            message = self._decode(frame)
            self.delivered += 1
            self._trace.message(*way, frame, message)
            receiver.listener.message_received(way[0], message)

    @staticmethod
    def _decode(frame: bytes) -> Message:
        _, checksum = HEADER.unpack_from(frame)
        return decode_payload(frame[HEADER.size :], checksum)

    def _relieve(self, wire: Wire, way: Way) -> None:
        """Tells a sender that was refused that there is room again."""
        sender = self.ends.get(way[0])
        if way not in wire.refused or sender is None or sender.open.get(way[1]) is not wire:
            return
        room = wire.on_way_bytes.get(way, 0) <= sender.send_window_bytes_max // 2
        if room and not self.path(*way).clogged:
            wire.refused.discard(way)
            self.loop.after(0.0, sender.life, sender.listener.peer_writable, way[1])

    # Faults.

    def block(self, sender: int, receiver: int) -> None:
        self.path(sender, receiver).blocked = True

    def unblock(self, sender: int, receiver: int, *, survive: bool) -> None:
        """Lets messages through again; those that were stuck arrive now if the connection is to survive."""
        way = (sender, receiver)
        if not self.path(*way).blocked:
            return
        self.path(*way).blocked = False
        if not survive:
            self.reset(sender, receiver)
        for end in (self.ends.get(sender), self.ends.get(receiver)):
            other = receiver if end is not None and end.member == sender else sender
            wire = None if end is None else end.open.get(other)
            if wire is not None:
                for frame in wire.held.pop(way, []):
                    self._carry(wire, way, frame)

    def clog(self, sender: int, receiver: int, clogged: bool) -> None:
        """Refuses to take messages, or takes them again."""
        way = (sender, receiver)
        self.path(*way).clogged = clogged
        end = self.ends.get(sender)
        wire = None if end is None else end.open.get(receiver)
        if not clogged and wire is not None:
            self._relieve(wire, way)

    def reset(self, one: int, two: int) -> None:
        """Breaks the connection; both ends notice, each in its time."""
        for member, other in ((one, two), (two, one)):
            end = self.ends.get(member)
            wire = None if end is None else end.open.get(other)
            if end is not None and wire is not None:
                self.loop.after(
                    self.chance.uniform(0, 0.01), end.life, self._lose, end, other, wire
                )

    # Connections.

    def _lose(self, end: SimTransport, other: int, wire: Wire) -> None:
        """One end closes a connection, in the life of its member."""
        wire.closed.add(end.member)
        if end.open.get(other) is wire:
            del end.open[other]
            self._trace.note(f"n{end.member} lost n{other}")
            end.listener.peer_lost(other)
            delay_s = DIAL_PAUSE_S[end.member < other] + self.chance.uniform(0, 0.001)
            self.loop.after(delay_s, end.life, self._look_for, end, other)

    def _tell_closed(self, wire: Wire, closed: int, other: int) -> None:
        """The other end hears that this one is closed, unless the path is silent."""
        end = self.ends.get(other)
        if end is not None and not self.path(closed, other).blocked:
            delay_s = self.chance.uniform(*self.path(closed, other).delay_s)
            self.loop.after(delay_s, end.life, self._lose, end, closed, wire)

    def _look(self) -> None:
        """What every end does from time to time: gives up dead connections, makes new ones."""
        for end in list(self.ends.values()):
            if not end.life.frozen and not end.life.over:
                for other, wire in list(end.open.items()):
                    self._look_after(end, other, wire)
                for other in sorted(end.peers - end.open.keys()):
                    self._consider_dialing(end, other)
        self.loop.after(LOOK_S, None, self._look)

    def _look_after(self, end: SimTransport, other: int, wire: Wire) -> None:
        way = (other, end.member)
        peer = self.ends.get(other)
        if other in wire.closed and peer is not None and not self.path(*way).blocked:
            # Whatever is sent there now is answered with a reset.
            self._tell_closed(wire, other, end.member)
            return
        silent = self.path(*way).blocked or peer is None or peer.life.frozen or peer.life.over
        if not silent:
            wire.silent_since.pop(way, None)
        elif self.loop.now - wire.silent_since.setdefault(way, self.loop.now) > end.silence_s_max:
            self.loop.after(0.0, end.life, self._lose, end, other, wire)

    def _look_for(self, end: SimTransport, other: int) -> None:
        """A connection broke: the side that dials makes it anew at once, and both learn whether there is anybody."""
        if other in end.open or other not in end.peers or not end.started:
            return
        there, back = self.path(end.member, other), self.path(other, end.member)
        if there.blocked or back.blocked or other in self.dark:
            return
        # One attempt at a time: as long as the greetings may be on their way, there is no other.
        greetings_s = 2 * (there.delay_s[1] + back.delay_s[1])
        end.next_dial[other] = self.loop.now + max(greetings_s, self.chance.uniform(0.05, 0.5))
        delay_s = self.chance.uniform(*there.delay_s) + self.chance.uniform(*back.delay_s)
        target = self.ends.get(other)
        if target is None or not target.started:
            self.loop.after(delay_s, end.life, self._refuse, end, other)
        elif not target.life.over and end.member > other:
            self.loop.after(delay_s, target.life, self._accept, target, end)

    def _refuse(self, end: SimTransport, other: int) -> None:
        if end.started and other not in end.open:
            self.refusals += 1
            self._trace.note(f"n{end.member} is refused by n{other}")
            end.listener.peer_refused(other)

    def _consider_dialing(self, end: SimTransport, other: int) -> None:
        now = self.loop.now
        if other > end.member:
            if now - end.absent_since.setdefault(other, now) < STAND_IN_S:
                return
            end.absent_since.pop(other)
        if now < end.next_dial.get(other, 0.0):
            return
        end.next_dial[other] = now + self.chance.uniform(0.05, 0.5)
        target = self.ends.get(other)
        there, back = self.path(end.member, other), self.path(other, end.member)
        if target is None or not target.started or there.blocked or back.blocked:
            return
        delay_s = self.chance.uniform(*there.delay_s) + self.chance.uniform(*back.delay_s)
        self.loop.after(delay_s, target.life, self._accept, target, end)

    def _accept(self, end: SimTransport, dialer: SimTransport) -> None:
        """A connection was made; the one that was dialed hears of it first."""
        if not end.started or dialer.life.over:
            return
        way = (end.member, dialer.member)
        if dialer.member in end.removed:
            delay_s = self.chance.uniform(*self.path(*way).delay_s)
            self.loop.after(delay_s, dialer.life, dialer.listener.removed)
            return
        if dialer.member < end.member and dialer.member in end.open:
            return
        wire = Wire()
        self._attach(end, dialer.member, wire, dialer.client_address)
        # The greeting: whatever this end sends comes after it.
        self._carry(wire, way, b"")

    def _complete(self, wire: Wire, other: int, dialer: SimTransport) -> None:
        """The greeting arrived at the one that dialed."""
        if dialer.started:
            target = self.ends.get(other)
            address = "" if target is None else target.client_address
            self._attach(dialer, other, wire, address)

    def _attach(self, end: SimTransport, other: int, wire: Wire, client_address: str) -> None:
        replaced = end.open.pop(other, None)
        if replaced is not None:
            replaced.closed.add(end.member)
            end.listener.peer_lost(other)
        end.open[other] = wire
        end.absent_since.pop(other, None)
        self._trace.note(f"n{end.member} connected to n{other}")
        end.listener.peer_connected(other, client_address)
