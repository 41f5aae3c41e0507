"""One run of a check: connect, ask, and say what came of it."""

from __future__ import annotations

import asyncio
import os
import socket

import structlog

from coordinator.checks.definitions import Check, GrpcTarget, HttpTarget, TcpTarget
from coordinator.checks.grpc_probe import probe_grpc
from coordinator.checks.http_probe import HttpProbe
from coordinator.checks.targets import EXHAUSTED, Address, Targets, Unreachable

NOTE_SIZE_MAX = 512

LATE_S = 0.5
"""A timeout that comes so late says that this node stood still, not that the target did."""

log = structlog.get_logger()


class NotRun(Exception):
    """Nothing can be said about the target, for a reason of this node's own."""


class Prober:
    """Runs checks. What is wrong with a target is a finding, never an exception."""

    def __init__(self, targets: Targets, body_bytes_max: int) -> None:
        self._targets = targets
        self._http = HttpProbe(body_bytes_max)

    async def probe(self, check: Check) -> str | None:
        """Runs a check once, within its timeout; returns what is wrong, or None if it passed. Raises NotRun."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + check.timeout_s
        try:
            async with asyncio.timeout(check.timeout_s):
                wrong = await self._probe(check)
        except TimeoutError:
            if loop.time() > ends_at + LATE_S:
                raise NotRun("this node stood still") from None
            if check.target and self._targets.waits_for_turn(check.target.host, check.target.port):
                raise NotRun("too many names of hosts take long to look up") from None
            wrong = f"no answer within {check.timeout_s:g} s"
        except Unreachable as error:
            wrong = str(error)
        except NotRun:
            raise
        except Exception as error:
            log.exception("a check could not be run", check=check)
            wrong = f"the check could not be run: {error!r}"
        return None if wrong is None else one_line(wrong)

    async def _probe(self, check: Check) -> str | None:
        target = check.target
        if target is None:
            return None
        wrong: str | None = None
        for address in await self._targets.find(target.host, target.port):
            try:
                match target:
                    case TcpTarget():
                        await probe_tcp(address)
                        return None
                    case HttpTarget():
                        return await self._http.probe(target, address)
                    case GrpcTarget():
                        return await probe_grpc(target, address, check.timeout_s)
            except OSError as error:
                if error.errno in EXHAUSTED:
                    raise NotRun(f"this node can't connect: {describe(error)}") from error
                # The next address of the host may do.
                wrong = f"{address}: {describe(error)}"
        return wrong

    async def close(self) -> None:
        """Lets go of everything."""
        self._targets.close()
        await self._http.close()


def one_line(text: str) -> str:
    """Returns what a target or a library said as a note: one line that can be printed, and not a long one."""
    line = " ".join(text.split())[:NOTE_SIZE_MAX]
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def describe(error: OSError) -> str:
    """Returns why a connection failed, without what differs from one time to the next."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


async def probe_tcp(address: Address) -> None:
    """Connects, and hangs up. Raises OSError."""
    with socket.socket(address.family, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, address.place)
