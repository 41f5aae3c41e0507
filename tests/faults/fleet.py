"""Nodes as programs. Numbers count from 1, as names do."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from coordinator_client import aio
from scripts.localcluster import launch
from scripts.localcluster.layout import plan_nodes
from tests.cluster.harness import find_base_port
from tests.faults.links import Links

READY_TIMEOUT_S = 40.0
END_TIMEOUT_S = 15.0
STARTUP_S_MAX = 10.0
POLL_S = 0.05
STATUS_TIMEOUT_S = 1.0
DIGEST_TIMEOUT_S = 10.0


class FleetError(Exception):
    """Nodes don't do what they should; the message says which and what."""


class Fleet:
    """A cluster whose members reach each other through proxies, or directly."""

    def __init__(
        self, folder: Path, count: int, proxied: bool, environment: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.nodes = plan_nodes(folder, count, find_base_port(count))
        self._token = secrets.token_hex(8)
        self._environment = dict(environment or {})
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._ending: dict[int, asyncio.subprocess.Process] = {}
        """Those that were told to end, until they have."""
        self._started_s: dict[int, float] = {}
        self._starting = [asyncio.Lock() for _ in self.nodes]
        self._paused: set[int] = set()
        self._client: aio.Client | None = None
        self.links = Links({i: node.peer for i, node in enumerate(self.nodes, 1)})
        self._proxied = proxied
        self.ended: list[str] = []
        """What ended without being told to, since this was last looked at."""

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        await self.links.start()
        self._client = aio.connect(self.endpoints)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._ask.close()
        for number in self.numbers:
            await self.kill(number)
        await self.links.stop()

    @property
    def numbers(self) -> list[int]:
        return list(range(1, len(self.nodes) + 1))

    @property
    def majority(self) -> int:
        return len(self.nodes) // 2 + 1

    @property
    def endpoints(self) -> list[str]:
        return [node.client for node in self.nodes]

    @property
    def present(self) -> list[int]:
        """Those that run, paused ones too."""
        self._take_note()
        return sorted(self._running)

    @property
    def _ask(self) -> aio.Client:
        assert self._client is not None, "use `async with`"
        return self._client

    def log_path(self, number: int) -> Path:
        """Beside the data, so that a full disk does not swallow what is said about it."""
        return self.folder / f"{self.nodes[number - 1].name}.log"

    def trigger(self, number: int) -> Path:
        """While this file exists, fsync fails for the node (see `disks`)."""
        return self.folder / f"fsync-fails-{number}"

    # --- starting and ending ----------------------------------------------------------------------

    async def start(self, *numbers: int) -> None:
        """Starts nodes that don't run; does not wait until they serve."""
        for number in numbers or self.numbers:
            async with self._starting[number - 1]:
                if number in self._ending:
                    await self._ending[number].wait()
                if number not in self.present:
                    await self._spawn(number)

    async def _spawn(self, number: int) -> None:
        environment = dict(os.environ) | self._environment
        environment["FAULT_FSYNC_TRIGGER"] = str(self.trigger(number))
        self._started_s[number] = asyncio.get_running_loop().time()
        with self.log_path(number).open("ab") as log:
            self._running[number] = await asyncio.create_subprocess_exec(
                *launch.server_command(),
                *self._arguments(number),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def _arguments(self, number: int) -> list[str]:
        """How to run a node: it listens at its own address and finds the others at those of its proxies."""
        node = self.nodes[number - 1]
        peers = {
            other.name: self.links.address(number, i)
            if self._proxied and i != number
            else other.peer
            for i, other in enumerate(self.nodes, 1)
        }
        return [
            "serve",
            f"--name={node.name}",
            f"--data-dir={node.data_dir}",
            f"--client-address={node.client}",
            f"--peer-address={node.peer}",
            f"--cluster={','.join(f'{name}={address}' for name, address in peers.items())}",
            f"--cluster-token={self._token}",
        ]

    async def kill(self, *numbers: int) -> None:
        """Ends nodes as a power cut would."""
        await self._end(numbers, signal.SIGKILL)

    async def stop(self, *numbers: int) -> None:
        """Ends nodes kindly; raises FleetError if that takes too long, or does not end well."""
        codes = await self._end(numbers, signal.SIGTERM)
        now_s = asyncio.get_running_loop().time()
        bad = {
            self.nodes[n - 1].name: code
            for n, code in codes.items()
            # One that has just begun to start does not listen to signals yet, and has promised nothing.
            if code and (code != -signal.SIGTERM or now_s - self._started_s[n] > STARTUP_S_MAX)
        }
        if bad:
            raise FleetError(f"stopped by SIGTERM, but ended with codes {bad}")

    async def _end(self, numbers: tuple[int, ...], number: signal.Signals) -> dict[int, int]:
        ending = {n: self._running.pop(n) for n in numbers if n in self.present}
        for one in ending.values():
            # Not `one.send_signal`, which would reap a child whose end somebody else waits for.
            launch.send(one.pid, number)
            launch.send(one.pid, signal.SIGCONT)
        self._paused -= set(ending)
        self._ending.update(ending)
        codes = {}
        for n, one in ending.items():
            try:
                async with asyncio.timeout(END_TIMEOUT_S):
                    codes[n] = await one.wait()
            except TimeoutError:
                launch.send(one.pid, signal.SIGKILL)
                await one.wait()
                raise FleetError(
                    f"{self.nodes[n - 1].name} does not end by {number.name}"
                ) from None
            finally:
                self._ending.pop(n, None)
        return codes

    def pause(self, number: int) -> None:
        """Makes a node stand still."""
        if number in self.present:
            launch.send(self._running[number].pid, signal.SIGSTOP)
            self._paused.add(number)

    def resume(self, number: int) -> None:
        if number in self.present:
            launch.send(self._running[number].pid, signal.SIGCONT)
        self._paused.discard(number)

    async def wait_end(self, number: int, timeout_s: float) -> int | None:
        """Waits for a node to end by itself; returns its exit code, or None if it goes on."""
        one = self._running.get(number)
        if one is None:
            return None
        try:
            async with asyncio.timeout(timeout_s):
                code = await one.wait()
        except TimeoutError:
            return None
        self._running.pop(number, None)
        return code

    def _take_note(self) -> None:
        for number, one in list(self._running.items()):
            if one.returncode is not None:
                del self._running[number]
                self._paused.discard(number)
                name = self.nodes[number - 1].name
                self.ended.append(f"{name} ended with code {one.returncode}: {self.tail(number)}")

    def tail(self, number: int, lines: int = 3) -> str:
        text = self.log_path(number).read_text(errors="replace")
        return " | ".join(text.splitlines()[-lines:])

    # --- how it is --------------------------------------------------------------------------------

    async def status(self, number: int, digest: bool = False) -> aio.MemberStatus | None:
        """Returns what a node says of itself; None if it does not answer."""
        timeout_s = DIGEST_TIMEOUT_S if digest else STATUS_TIMEOUT_S
        try:
            return await self._ask.status(
                self.endpoints[number - 1], digest=digest, timeout_s=timeout_s
            )
        except aio.CoordinatorError:
            return None

    async def statuses(self, digest: bool = False) -> dict[int, aio.MemberStatus]:
        """Returns the status of every node that answers."""
        asked = [n for n in self.present if n not in self._paused]
        found = await asyncio.gather(*(self.status(n, digest) for n in asked))
        return {n: status for n, status in zip(asked, found, strict=True) if status is not None}

    async def leader(self) -> int | None:
        """Returns who says that it leads, in the newest term that anyone says so for."""
        leaders = [
            (status.term, number)
            for number, status in (await self.statuses()).items()
            if status.role == "leader"
        ]
        return max(leaders)[1] if leaders else None

    async def term(self) -> int:
        return max((status.term for status in (await self.statuses()).values()), default=0)

    async def wait_leader(self, timeout_s: float = READY_TIMEOUT_S) -> int:
        """Waits until all that run know the same leader; returns its number."""
        found: list[int] = []

        async def agree() -> bool:
            statuses = await self.statuses()
            names = {status.leader_name for status in statuses.values()}
            found[:] = [n for n, s in statuses.items() if s.role == "leader" and {s.name} == names]
            return len(found) == 1 and len(statuses) == len(self.present) >= self.majority

        await self.wait_until(agree, timeout_s, "no leader that all know")
        return found[0]

    async def wait_until(
        self, condition: Callable[[], object], timeout_s: float, otherwise: str
    ) -> None:
        """Waits for something that can only be asked about; raises FleetError after the timeout."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while True:
            answer = condition()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            if loop.time() > deadline_s:
                states = [
                    f"{s.name}: {s.role} of term {s.term} under {s.leader_name or 'nobody'},"
                    f" applied {s.applied_index}"
                    for s in (await self.statuses()).values()
                ]
                raise FleetError(f"{otherwise} after {timeout_s:g} s; {'; '.join(states)}")
            await asyncio.sleep(POLL_S)

    async def heal(self) -> None:
        """Undoes everything: bytes flow, what is paused goes on, what does not run starts; waits for a leader."""
        self.links.heal()
        for number in self.numbers:
            self.trigger(number).unlink(missing_ok=True)
            self.resume(number)
        await self.start()
        await self.wait_leader()

    async def wait_digests_equal(self, timeout_s: float = 30.0) -> str:
        """Waits until all have applied the same; returns their digest. Raises FleetError if theirs differ."""
        latest: dict[int, tuple[int, str]] = {}

        async def at_one_index() -> bool:
            statuses = await self.statuses(digest=True)
            latest.clear()
            latest.update({n: (s.applied_index, s.digest) for n, s in statuses.items()})
            return len(latest) == len(self.nodes) and len({i for i, _ in latest.values()}) == 1

        await self.wait_until(at_one_index, timeout_s, "not all have applied the same")
        digests = {digest for _, digest in latest.values()}
        if len(digests) > 1:
            raise FleetError(f"same log, different state: {latest}")
        return digests.pop()


@asynccontextmanager
async def running(
    folder: Path, count: int, *, proxied: bool, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Fleet]:
    """A fleet that has a leader; all its programs end with the block."""
    async with Fleet(folder, count, proxied, environment) as fleet:
        await fleet.start()
        await fleet.wait_leader()
        yield fleet
