"""The sockets: who asks over UDP or TCP is answered, and who misbehaves costs little."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import dns.asyncquery
import dns.message
import pytest

from coordinator.errors import ConfigError
from coordinator.gateways.dns import listener as module
from coordinator.gateways.dns.forwarding import Forwarder
from coordinator.gateways.dns.listener import Listener
from tests.unit.gateways.dns.stage import Stock, code, make_responder, query, texts
from tests.unit.gateways.dns.test_forwarding import Resolver, respond

PAY = "pay.service.coordinator."


def stocked(count: int) -> Stock:
    stock = Stock()
    for n in range(count):
        stock.add("pay", str(n), f"10.1.{n >> 8}.{n & 255}")
    return stock


@contextlib.asynccontextmanager
async def listening(
    count: int = 3,
    *,
    forwarder: Forwarder | None = None,
    connections_max: int = 10,
    idle_s: float = 20.0,
) -> AsyncIterator[tuple[Listener, int]]:
    responder = make_responder(stocked(count), recursive=forwarder is not None)
    listener = Listener(responder, forwarder, connections_max, idle_s)
    port = listener.bind("127.0.0.1", 0)
    await listener.start()
    try:
        yield listener, port
    finally:
        await listener.stop(1.0)
        await listener.stop(1.0)


async def udp(port: int, *asked: Any) -> dns.message.Message:
    return await dns.asyncquery.udp(query(*asked), "127.0.0.1", 5, port)


async def tcp(port: int, *asked: Any) -> dns.message.Message:
    return await dns.asyncquery.tcp(query(*asked), "127.0.0.1", 5, port)


def framed(packet: bytes) -> bytes:
    return len(packet).to_bytes(2, "big") + packet


async def read_framed(reader: asyncio.StreamReader) -> dns.message.Message:
    length = int.from_bytes(await reader.readexactly(2), "big")
    return dns.message.from_wire(await reader.readexactly(length))


@pytest.mark.parametrize("count", [1, 500])
async def test_both_transports_answer(count: int) -> None:
    async with listening(count) as (_, port):
        answer = await udp(port, PAY, "A")
        assert len(texts(answer.answer)) == min(count, 73)
        for type in ("A", "SRV"):
            answer = await tcp(port, PAY, type)
            assert len(texts(answer.answer)) == count
        assert len(texts(answer.additional)) == count


async def test_many_questions_on_one_connection_are_answered_in_order() -> None:
    async with listening() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        asked = [query(PAY, type) for type in ("A", "SRV", "TXT") * 10]
        content = b"".join(framed(one.to_wire()) for one in asked)
        writer.write(content[:100])
        await writer.drain()
        writer.write(content[100:])
        writer.write_eof()
        for one in asked:
            assert one.is_response(await read_framed(reader))
        assert await reader.read() == b"", "the client said that it has no more"
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [b"\xff\xff", framed(b"short"), framed(query("a.", "A").to_wire())[:-1]],
    ids=["too long", "no message", "cut short"],  # a query has another number each time
)
async def test_a_connection_that_makes_no_sense_or_is_idle_is_closed(sent: bytes) -> None:
    async with listening(idle_s=0.2) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()


async def test_who_does_not_read_is_left() -> None:
    async with listening(800, idle_s=0.3) as (listener, port):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setblocking(False)
            asked = framed(query(PAY, "SRV").to_wire())
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionError):
                    while True:
                        await loop.sock_sendall(client, asked * 100)
            assert not listener._connections


async def test_connections_are_limited() -> None:
    async with listening(connections_max=2) as (_, port):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in held:
            writer.write(framed(query(PAY, "A").to_wire()))
            assert (await read_framed(reader)).answer
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()
        assert (await udp(port, PAY, "A")).answer
        for _, held_writer in held:
            held_writer.close()
        async with asyncio.timeout(5):
            while True:
                with contextlib.suppress(EOFError, ConnectionError):
                    assert (await tcp(port, PAY, "A")).answer
                    break


@pytest.mark.parametrize("good", [True, False])
async def test_others_are_asked_for_clients(good: bool) -> None:
    resolver = await Resolver(lambda packet: [respond(packet)] if good else []).start()
    forwarder = Forwarder([resolver.address], 5.0 if good else 0.05, 10)
    async with listening(forwarder=forwarder) as (_, port):
        for ask in (udp, tcp):
            answer = await ask(port, "example.com.", "A")
            assert code(answer) == ("NOERROR" if good else "SERVFAIL")
            assert (await ask(port, PAY, "A")).answer
    resolver.close()


async def test_whoever_is_asking_others_is_let_go_at_the_end() -> None:
    resolver = await Resolver(lambda packet: []).start()
    async with listening(forwarder=Forwarder([resolver.address], 60.0, 10)) as (listener, port):
        tasks = [asyncio.create_task(ask(port, "example.com.", "A")) for ask in (udp, tcp)]
        async with asyncio.timeout(5):
            while len(resolver.asked) < 2:
                await asyncio.sleep(0.01)
        await listener.stop(0.05)
        assert not listener._busy and not listener._connections
        with pytest.raises(EOFError):
            await tasks[1]
        tasks[0].cancel()
        await asyncio.wait(tasks)
    resolver.close()


async def test_junk_does_not_stop_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as (listener, port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for junk in (b"", b"x", b"\xff" * 2000, bytes(12)):
                client.sendto(junk, ("127.0.0.1", port))
        assert (await udp(port, PAY, "A")).answer

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr(listener._responder, "answer_datagram", fail)
            patch.setattr(listener._responder, "answer_message", fail)
            failed = [
                asyncio.create_task(dns.asyncquery.udp(query(PAY, "A"), "127.0.0.1", 0.1, port))
            ]
            await asyncio.wait(failed)
            assert failed[0].exception() is not None
            with pytest.raises(EOFError):
                await tcp(port, PAY, "A")
        assert (await udp(port, PAY, "A")).answer and (await tcp(port, PAY, "A")).answer


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
async def test_an_address_in_use_is_told_in_a_sentence(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        listener = Listener(make_responder(stocked(1)), None, 1, 1.0)
        with pytest.raises(ConfigError, match="can't listen for DNS"):
            listener.bind("127.0.0.1", taken.getsockname()[1])
        await listener.stop(0)
    with pytest.raises(ConfigError, match="can't listen for DNS"):
        listener.bind("no such host", 5353)


def test_ipv4_clients_of_ipv6_sockets_are_ipv4_clients() -> None:
    assert module._pack_client(("::ffff:10.0.0.1", 1, 0, 0)) == bytes([10, 0, 0, 1])
    assert module._pack_client(("fe80::1%eth0", 1, 0, 0))[:2] == b"\xfe\x80"
    assert module._pack_client(("10.0.0.1", 1)) == bytes([10, 0, 0, 1])
