"""Resolvers are asked in turn; only what answers the question counts, and only in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import dns.flags
import dns.message
import pytest

from coordinator.gateways.dns.forwarding import Address, Forwarder, answers
from coordinator.gateways.dns.queries import Query, read_query
from tests.unit.gateways.dns.stage import query

Reply = Callable[[bytes], list[bytes]]
ASKED = query("example.com.", "A")


def respond(packet: bytes) -> bytes:
    return dns.message.make_response(dns.message.from_wire(packet)).to_wire()


class Resolver(asyncio.DatagramProtocol):
    """A resolver that answers as it is told to, over UDP and TCP at one port."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.asked: list[bytes] = []
        self.address: Address = ("", 0)
        self._transport: Any = None
        self._server: Any = None

    async def start(self) -> Resolver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=self.address
        )
        return self

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.asked.append(data)
        for packet in self.reply(data):
            self._transport.sendto(packet, addr)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packet = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        self.asked.append(packet)
        replies = self.reply(packet)
        for reply in replies:
            writer.write(len(reply).to_bytes(2, "big") + reply)
        if not replies:
            await reader.read()  # says nothing until the other side has had enough
        writer.close()

    def close(self) -> None:
        self._transport.close()
        self._server.close()


Start = Callable[[Reply], Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    resolvers = []

    async def make(reply: Reply) -> Resolver:
        resolvers.append(await Resolver(reply).start())
        return resolvers[-1]

    yield make
    for resolver in resolvers:
        resolver.close()


async def ask(*resolvers: Resolver, stream: bool, timeout_s: float = 5.0) -> bytes | None:
    forwarder = Forwarder([resolver.address for resolver in resolvers], timeout_s, 10)
    packet = ASKED.to_wire()
    return await forwarder.ask(read_query(packet), packet, stream=stream)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_comes_back_under_the_number_of_the_client(
    start: Start, stream: bool
) -> None:
    resolver = await start(lambda packet: [respond(packet)])
    for _ in range(3):
        answer = await ask(resolver, stream=stream)
        assert answer is not None and ASKED.is_response(dns.message.from_wire(answer))
    numbers = {packet[:2] for packet in resolver.asked}
    assert len(numbers | {ASKED.to_wire()[:2]}) > 1, "each question has a number of its own"
    assert all(packet[2:] == ASKED.to_wire()[2:] for packet in resolver.asked)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_next_one_is_asked_when_one_is_silent_or_gone(start: Start, stream: bool) -> None:
    silent = await start(lambda packet: [])
    gone = await start(lambda packet: [])
    gone.close()
    good = await start(lambda packet: [respond(packet)])
    assert await ask(silent, gone, good, stream=stream, timeout_s=0.2) is not None
    assert await ask(silent, gone, stream=stream, timeout_s=0.05) is None


async def test_forged_answers_are_passed_over(start: Start) -> None:
    other = respond(query("example.org.", "A").to_wire())

    def reply(packet: bytes) -> list[bytes]:
        right = respond(packet)
        wrong_number = bytes((right[0] ^ 1,)) + right[1:]
        return [b"", b"x", wrong_number, packet[:2] + other[2:], packet, right]

    resolver = await start(reply)
    answer = await ask(resolver, stream=False)
    assert answer is not None and ASKED.is_response(dns.message.from_wire(answer))
    wrong = await start(lambda packet: [packet])
    assert await ask(wrong, stream=True) is None


async def test_not_too_many_questions_are_open(start: Start) -> None:
    silent = await start(lambda packet: [])
    forwarder = Forwarder([silent.address], 60.0, 2)
    packet = ASKED.to_wire()
    question = read_query(packet)
    tasks = [asyncio.create_task(forwarder.ask(question, packet, stream=False)) for _ in range(2)]
    await asyncio.sleep(0)
    assert await forwarder.ask(question, packet, stream=False) is None
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    good = await start(lambda packet: [respond(packet)])
    forwarder._resolvers = [good.address]
    assert await forwarder.ask(question, packet, stream=False) is not None, "there is room again"


def test_what_is_an_answer() -> None:
    packet = ASKED.to_wire()
    question: Query = read_query(packet)
    right = respond(packet)
    assert answers(right, packet, question)
    assert not answers(bytes((right[0] ^ 1,)) + right[1:], packet, question)
    assert answers(right.replace(b"example", b"EXAMPLE"), packet, question)
    refused = packet[:2] + b"\x81\x05" + bytes(8)
    assert answers(refused, packet, question)
    assert not answers(packet[:2] + b"\x81\x00" + bytes(8), packet, question)
    assert not answers(refused + b"x", packet, question)
