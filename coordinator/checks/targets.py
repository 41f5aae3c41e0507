"""From a host to the addresses that a check may connect to. It connects to these, so that nobody resolves twice."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass

LOOKUPS_MAX = 32
"""Host names that are being looked up at once, each by a thread."""

ADDRESSES_MAX = 4
"""Of one host that a check tries, one after the other."""


EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""What this machine may lack for a connection, which says nothing about the target."""


class Unreachable(Exception):
    """A check has no target that it could connect to; the message says why."""


@dataclass(frozen=True)
class Address:
    """An IP address and a port."""

    family: int
    host: str
    port: int
    scope: int = 0
    """Of a link-local address of IPv6: the number of the interface."""

    @property
    def place(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """What `connect` takes."""
        if self.family == socket.AF_INET6:
            return self.host, self.port, 0, self.scope
        return self.host, self.port

    def __str__(self) -> str:
        host = f"[{self.host}]" if self.family == socket.AF_INET6 else self.host
        return f"{host}:{self.port}"


class Networks:
    """The networks that checks may connect to."""

    def __init__(self, allowed: Sequence[str]) -> None:
        """`allowed`: networks such as `10.0.0.0/8`; empty: all."""
        self._allowed = [ipaddress.ip_network(network) for network in allowed]

    def admit(self, address: Address) -> bool:
        """Whether checks may connect to an address."""
        if not self._allowed:
            return True
        ip = ipaddress.ip_address(address.host.partition("%")[0])
        # The same machine, written in another way.
        mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
        return any((mapped or ip) in network for network in self._allowed)


def look_up(host: str, port: int, flags: int = 0) -> list[Address]:
    """Returns the addresses of a host; blocks. Raises OSError or UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    addresses = []
    for family, _, _, _, place in found:
        if family == socket.AF_INET6:
            addresses.append(Address(family, str(place[0]), port, int(place[-1])))
        elif family == socket.AF_INET:
            addresses.append(Address(family, str(place[0]), port))
    return addresses


class Targets:
    """Finds addresses. A name that takes long to look up holds up nobody but those that want it."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._loop = asyncio.get_running_loop()
        self._lookups = asyncio.Semaphore(LOOKUPS_MAX)
        self._under_way: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}
        self._queued: set[tuple[str, int]] = set()

    async def find(self, host: str, port: int) -> list[Address]:
        """Returns the addresses of a host that checks may connect to; raises Unreachable if there is none."""
        try:
            # For numbers nobody has to be asked.
            found = look_up(host, port, socket.AI_NUMERICHOST)
        except (OSError, UnicodeError):
            found = await self._ask(host, port)
        admitted = [address for address in found if self._networks.admit(address)]
        if not admitted:
            outside = ", ".join(address.host for address in found[:ADDRESSES_MAX]) or host
            raise Unreachable(f"{outside}: outside of the networks that checks may connect to")
        return admitted[:ADDRESSES_MAX]

    async def _ask(self, host: str, port: int) -> list[Address]:
        """Looks a name up, once for all who want it at the same time."""
        key = host, port
        asking = self._under_way.get(key)
        if asking is None:
            self._queued.add(key)
            asking = self._under_way[key] = self._loop.create_task(self._look_up(host, port))
            asking.add_done_callback(lambda _: self._forget(key))
        # Whoever gives up leaves it to the others.
        found = await asyncio.shield(asking)
        if not found:
            raise Unreachable(f"there is no address for {host}")
        return found

    def waits_for_turn(self, host: str, port: int) -> bool:
        """Whether a name is not looked up yet, as so many others are."""
        return (host, port) in self._queued

    def _forget(self, key: tuple[str, int]) -> None:
        self._under_way.pop(key, None)
        self._queued.discard(key)

    async def _look_up(self, host: str, port: int) -> list[Address]:
        async with self._lookups:
            self._queued.discard((host, port))
            future: asyncio.Future[list[Address]] = self._loop.create_future()

            def settle(found: list[Address]) -> None:
                if not future.done():
                    future.set_result(found)

            def ask() -> None:
                try:
                    found = look_up(host, port)
                except (OSError, UnicodeError):
                    found = []
                # The loop may have ended meanwhile.
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(settle, found)

            # A daemon, which holds up no node that stops, as threads of an executor would.
            threading.Thread(target=ask, name="checks-lookup", daemon=True).start()
            return await future

    def close(self) -> None:
        """Waits for no name any more."""
        for asking in list(self._under_way.values()):
            asking.cancel()
