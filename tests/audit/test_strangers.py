"""Audit g and the network's part of n: what those may do who reach the port for members.

A stranger is one who can't introduce itself as belonging to the cluster. That others are who they say is for
certificates to prove, and not the subject of these scenarios.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pysyncobj.pickle as stock_bytes

from coordinator.consensus.codec import Append
from tests.audit.scenario import Bench, require, scenario
from tests.audit.servers import as_ours, pretend, serve, stock_frame
from tests.unit.consensus.sockets import Stranger, hello

MANY = 10**6
"""A term that no cluster reaches by itself."""


class Proof:
    """When unpickled, creates an empty file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self._path,)


@scenario
async def test_g_pickle_rce(bench: Bench) -> None:
    """Bytes that come to the port are data, whatever is in them."""
    mark = bench.folder / "created-by-a-stranger"
    payload = stock_bytes.dumps(Proof(mark))
    async with serve(bench) as server:
        attacks = [stock_frame(Proof(mark)), pretend(payload), as_ours(hello(2)) + pretend(payload)]
        for attack in attacks:
            await server.hear(attack, mark.exists)
            require(not mark.exists(), "a stranger ran a function of its choice")


@scenario
async def test_g_no_pickle(bench: Bench) -> None:
    """Nor are entries anything but data, even if a member sends them."""
    mark = bench.folder / "created-by-a-member"
    member = await bench.member()
    content = stock_bytes.dumps(Proof(mark))
    for at, kind in enumerate((b"\0", b"\2", b"\3")):
        entry = ((1, kind + content),)
        await member.hear(2, Append(1, 1 + at, at and 1, 2 + at, entry))
        await member.settle()
        require(not mark.exists(), f"an entry of kind {kind!r} ran a function")


@scenario
async def test_g_utility(bench: Bench) -> None:
    """A stranger learns nothing and changes nothing: each request is closed without an answer."""
    async with serve(bench, 1) as server:
        await server.lead()
        for request in (["status"], ["add", "127.0.0.1:1"], ["remove", "127.0.0.1:1"]):
            for attack in (stock_frame(request), pretend(stock_bytes.dumps(request))):
                await server.hear(attack, lambda: bool(server.answer))
                require(server.members == 1, "a stranger added a member")
                require(not server.answer, f"{request} was answered")


@scenario
async def test_g_readonly_takeover(bench: Bench) -> None:
    """Who did not introduce itself, or as of another cluster, is not heard like a member."""
    async with serve(bench) as server:
        attacks = [
            stock_frame("readonly") + server.append(MANY),
            server.append(MANY),
            as_ours(hello(2, cluster_key=1)) + server.append(MANY),
        ]
        for attack in attacks:
            await server.hear(attack, lambda: server.term == MANY)
            require(server.term < MANY, "a stranger leads")


@scenario
async def test_n_old_connection(bench: Bench) -> None:
    """Once a member has connected anew, what comes over its old connection is not heard."""
    async with serve(bench) as server:
        old = await Stranger.connect(server.peers[0])
        old.write(server.introduction(2) + server.append(MANY))
        await server.until(lambda: server.term == MANY)
        new = await Stranger.connect(server.peers[0])
        new.write(server.introduction(2) + server.append(MANY + 1))
        await server.until(lambda: server.term == MANY + 1)
        late = server.append(MANY + 2)
        old.write(late)
        new.write(server.append(MANY + 1))
        if bench.engine == "hardened":
            await old.rest()  # It was closed.
        else:
            await server.until(lambda: server.term == MANY + 2)
        await old.close()
        await new.close()
        require(server.term == MANY + 1, "a message of the old connection was taken in")


@scenario
async def test_n_frame_limit(bench: Bench) -> None:
    """A stranger that announces a gigantic message is cut off instead of being listened to."""
    async with serve(bench) as server:
        attack = struct.pack("<I", 1 << 30) + bytes(300_000)
        await server.hear(attack, lambda: server.buffered > 200_000)
        require(
            server.buffered <= 200_000, f"{server.buffered} bytes are kept, and more is awaited"
        )


@scenario
async def test_n_zlib_bomb(bench: Bench) -> None:
    """A small frame of a stranger does not become a large piece of memory."""
    sizes: list[int] = []
    decompress = zlib.decompress

    def measure(content: bytes) -> bytes:
        sizes.append(len(expanded := decompress(content)))
        return expanded

    bench.monkeypatch.setattr(zlib, "decompress", measure)
    bomb = zlib.compress(bytes(8_000_000))
    async with serve(bench) as server:
        for attack in (struct.pack("i", len(bomb)) + bomb, pretend(bomb)):
            await server.hear(attack, lambda: bool(sizes))
            require(not sizes, f"{len(attack)} bytes became {max(sizes, default=0)}")
