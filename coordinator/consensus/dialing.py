"""How a member keeps a connection to another one.

Of two members the one with the higher id dials, and the other only if that does not come about. A connection that
breaks is made anew at once: most break because a process ended, and then its operating system refuses the new one,
which is the quickest way to learn of it. A moment later the other side looks too whether anybody listens, as the one
that should dial may be the one that ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

from coordinator.consensus.connection import Connection, Switchboard
from coordinator.consensus.interface import Peer
from coordinator.consensus.settings import split_address

REDIAL_MS_MIN = 50
REDIAL_MS_MAX = 500
LOOK_MS = 20
"""After a break, the member with the lower id leaves the other so long to dial."""
STAND_IN_MS = 2_000
"""The member with the lower id dials when there was no connection for this long."""


LOOK_PAUSES_MS = (20, 50, 100)
"""Between the attempts after a break, as long as nothing is learned from them."""


class Dialed(enum.Enum):
    """What came of an attempt to connect."""

    CONNECTED = enum.auto()
    """For a while, which is over."""
    REFUSED = enum.auto()
    """There is a machine, and nobody listens."""
    FAILED = enum.auto()


class DialOwner(Switchboard, Protocol):
    """Whom a dialer works for."""

    def connected(self, member: int) -> bool: ...

    def refused(self, member: int) -> None:
        """Nobody listens where the member was connected just before."""
        ...


class Dialer:
    """Keeps a connection to one peer; its name is resolved again for each attempt."""

    def __init__(self, owner: DialOwner, peer: Peer) -> None:
        self._owner = owner
        self._peer = peer
        self._leads = peer.id < owner.config.this.id
        """Whether it is on this side to dial."""
        self._loop = asyncio.get_running_loop()
        self._broke = asyncio.Event()
        self._looked_at = float("-inf")
        self._task = self._loop.create_task(self._run())

    def note_break(self) -> None:
        """The connection to the peer broke."""
        self._broke.set()

    def cancel(self) -> asyncio.Task[None]:
        """Dials no more; returns what ends then."""
        self._task.cancel()
        return self._task

    async def _run(self) -> None:
        pause_ms = 0
        while True:
            if await self._breaks_within(pause_ms) if self._leads else await self._breaks():
                self._broke.clear()
                await self._look()
                pause_ms = REDIAL_MS_MIN
            elif not self._owner.connected(self._peer.id):
                outcome = await self._dial()
                connected = outcome is Dialed.CONNECTED
                pause_ms = REDIAL_MS_MIN if connected else min(2 * pause_ms + 1, REDIAL_MS_MAX)
                pause_ms = max(pause_ms, REDIAL_MS_MIN)
            else:
                pause_ms = REDIAL_MS_MAX

    async def _breaks_within(self, pause_ms: int) -> bool:
        """Waits so long, or until the connection breaks; returns whether it did."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_ms / 1_000):
                await self._broke.wait()
        return self._broke.is_set()

    async def _breaks(self) -> bool:
        """Waits until the connection breaks, or was missed for long: then it is on this side to dial."""
        absent_since = self._loop.time()
        while self._loop.time() - absent_since < STAND_IN_MS / 1_000:
            if await self._breaks_within(REDIAL_MS_MAX):
                return True
            if self._owner.connected(self._peer.id):
                absent_since = self._loop.time()
        return False

    async def _look(self) -> None:
        """Finds out whether the peer is still there, and tells if it is not."""
        now = self._loop.time()
        often = now - self._looked_at < REDIAL_MS_MAX / 1_000
        self._looked_at = now
        first_ms = REDIAL_MS_MIN if often else 0 if self._leads else LOOK_MS
        for pause_ms in (first_ms, *LOOK_PAUSES_MS):
            await asyncio.sleep(pause_ms / 1_000)
            if self._owner.connected(self._peer.id):
                return
            outcome = await (self._dial() if self._leads else self._knock())
            if outcome is Dialed.REFUSED:
                self._owner.refused(self._peer.id)
            if outcome is not Dialed.FAILED:
                return

    async def _dial(self) -> Dialed:
        """Makes a connection and returns when it is closed again, or why there was none."""
        connection = Connection(self._owner, self._peer.id)
        outcome = Dialed.FAILED
        try:
            outcome, _ = await self._connect(lambda: connection, self._owner.config.client_tls)
        finally:
            if outcome is not Dialed.CONNECTED:
                # An attempt that was given up in the middle may have made it; nobody else says that it is over.
                connection.connection_lost(None)
        if outcome is Dialed.CONNECTED:
            await connection.closed.wait()
            return Dialed.CONNECTED if connection.member else Dialed.FAILED
        return outcome

    async def _knock(self) -> Dialed:
        """Finds out whether somebody listens, and leaves it to the other side to dial: both at once would cross."""
        outcome, transport = await self._connect(asyncio.Protocol, None)
        if transport is not None:
            transport.abort()
        return outcome

    async def _connect(
        self, make: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None
    ) -> tuple[Dialed, asyncio.Transport | None]:
        host, port = split_address(self._peer.address)
        refusals = 0
        try:
            async with asyncio.timeout(self._owner.config.hello_timeout_ms / 1_000):
                found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                for *_, address in found:
                    try:
                        transport, _ = await self._loop.create_connection(
                            make,
                            str(address[0]),
                            port,
                            ssl=tls,
                            server_hostname=None if tls is None else host,
                        )
                        return Dialed.CONNECTED, transport
                    except OSError as error:
                        refusals += error.errno == errno.ECONNREFUSED
        except (OSError, TimeoutError):
            return Dialed.FAILED, None
        refused = 0 < refusals == len(found)
        return Dialed.REFUSED if refused else Dialed.FAILED, None
