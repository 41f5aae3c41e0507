"""What things cost on a member, counted instead of timed: messages, encodings, bytes."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any
from unittest import mock

from coordinator.api import render
from coordinator.node.watches import WatchStream
from coordinator.state.commands import (
    Put,
    Write,
    encode_bundle,
    encode_command,
    encode_proposal,
)
from coordinator.state.machine import StateMachine
from coordinator_client import aio
from tests import hosts
from tests.unit.client.stage import Stage

WAIT_S = 20


async def test_calls_made_together_share_messages() -> None:
    async with Stage() as stage, aio.connect(stage.endpoints[0]) as client:
        await client.put("/a")
        sent = received = 0
        stream = hosts.STREAM
        receive, send = stream.receive, stream.send

        async def count_received(self: Any) -> Any:
            nonlocal received
            message = await receive(self)
            received += 1
            return message

        async def count_sent(self: Any, response: Any) -> None:
            nonlocal sent
            sent += 1
            await send(self, response)

        async def write(number: int) -> None:
            for i in range(20):
                await client.put(f"/{number}/{i}", "x")

        with mock.patch.multiple(stream, receive=count_received, send=count_sent):
            await asyncio.gather(*(write(number) for number in range(64)))
        assert received <= 20 * 64 / 40 and sent <= 20 * 64 / 20, (received, sent)


async def test_an_event_is_encoded_once_and_sent_once_to_a_client() -> None:
    async with Stage() as stage:
        clients = [await aio.connect(stage.endpoints[0]) for _ in range(3)]
        watches = [
            await client.watch("/w/", prefix=True).open() for client in clients for _ in range(50)
        ]
        encoded = sent = 0
        event_batches, send = render.event_batches, hosts.STREAM.send

        def count_encoded(*args: Any) -> Any:
            nonlocal encoded
            encoded += 1
            return event_batches(*args)

        async def count_sent(self: Any, response: Any) -> None:
            nonlocal sent
            sent += 1
            await send(self, response)

        with (
            mock.patch.object(render, "event_batches", count_encoded),
            mock.patch.object(hosts.STREAM, "send", count_sent),
        ):
            for i in range(20):
                await stage.bus.nodes[0].propose(
                    Write(Put(b"/w/%d" % i, b"x")), asyncio.get_running_loop().time() + 5
                )
                async with asyncio.timeout(WAIT_S):
                    for watch in watches:
                        assert len((await watch.next()).events) == 1
        assert encoded == 20 and sent <= 20 * 3 + 3, (encoded, sent)
        await asyncio.sleep(0.1)
        waits = 0
        wait = WatchStream.wait

        async def count_wait(self: WatchStream) -> None:
            nonlocal waits
            waits += 1
            await wait(self)

        with mock.patch.object(WatchStream, "wait", count_wait):
            await asyncio.sleep(0.2)
        assert waits < 10, "who watches costs nothing while nothing happens"
        for client in clients:
            await client.close()


def test_a_key_takes_so_many_bytes() -> None:
    """A key of 128 bytes with a value of as many, and the history that it is in."""
    state = StateMachine()

    def write(first: int, count: int) -> None:
        for i in range(first, first + count):
            command = encode_command(Write(Put(b"/keys/%06d" % i + b"k" * 116, b"v" * 128)))
            state.apply(encode_bundle([encode_proposal(1, i, command)]))

    write(1, 3_000)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    write(10_000, 5_000)
    gc.collect()
    used = (tracemalloc.get_traced_memory()[0] - before) / 5_000
    tracemalloc.stop()
    assert state.revision == 8_001
    assert 256 < used < 800, used
