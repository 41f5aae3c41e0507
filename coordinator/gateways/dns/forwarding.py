"""Hands questions about other people's names on to resolvers, and their answers back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import cast

from coordinator.gateways.dns.queries import HEADER, QR, QUESTION_AT, Query

Address = tuple[str, int]

_LENGTH_SIZE = 2


class Forwarder:
    """Asks resolvers, one after the other, each as long as the timeout allows."""

    def __init__(self, resolvers: Sequence[Address], timeout_s: float, questions_max: int) -> None:
        self._resolvers = resolvers
        self._timeout_s = timeout_s
        self._questions_max = questions_max
        self._asking = 0

    async def ask(self, query: Query, packet: bytes, *, stream: bool) -> bytes | None:
        """Returns the answer of the first resolver that has one; None if none has, or too many questions are open.

        With `stream` it is fetched over a connection, as what came over one must be answered in full.
        """
        if self._asking >= self._questions_max:
            return None
        self._asking += 1
        try:
            for resolver in self._resolvers:
                # A number that the client chose could be guessed by whoever wants to answer first.
                number = secrets.token_bytes(2)
                ask = self._ask_by_stream if stream else self._ask_by_datagram
                try:
                    async with asyncio.timeout(self._timeout_s):
                        answer = await ask(resolver, number + packet[2:], query)
                except (OSError, EOFError, TimeoutError):
                    continue
                return packet[:2] + answer[2:]
            return None
        finally:
            self._asking -= 1

    @staticmethod
    async def _ask_by_datagram(resolver: Address, packet: bytes, query: Query) -> bytes:
        transport, exchange = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Exchange(packet, query), remote_addr=resolver
        )
        try:
            return await exchange.answer
        finally:
            transport.close()

    @staticmethod
    async def _ask_by_stream(resolver: Address, packet: bytes, query: Query) -> bytes:
        reader, writer = await asyncio.open_connection(*resolver)
        try:
            writer.write(len(packet).to_bytes(_LENGTH_SIZE, "big") + packet)
            length = int.from_bytes(await reader.readexactly(_LENGTH_SIZE), "big")
            answer = await reader.readexactly(length)
            if not answers(answer, packet, query):
                raise ConnectionError("the resolver answered something else")
            return answer
        finally:
            writer.transport.abort()


class _Exchange(asyncio.DatagramProtocol):
    """One question and its answer, from a port of its own."""

    def __init__(self, packet: bytes, query: Query) -> None:
        self._packet = packet
        self._query = query
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Transports of this kind need not be instances of their class.
        cast(asyncio.DatagramTransport, transport).sendto(self._packet)

    def datagram_received(self, data: bytes, addr: object) -> None:
        # Anything else may come from somebody who forges answers: the right one may still come.
        if answers(data, self._packet, self._query) and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


def answers(answer: bytes, packet: bytes, query: Query) -> bool:
    """Whether a message is an answer to a packet."""
    if len(answer) < HEADER.size or answer[:2] != packet[:2]:
        return False
    _, flags, questions, *_ = HEADER.unpack_from(answer)
    if not flags & QR:
        return False
    if questions == 0:
        # Some errors come without the question.
        return len(answer) == HEADER.size and flags & 0xF != 0
    repeated = answer[QUESTION_AT : QUESTION_AT + len(query.question)]
    return questions == 1 and repeated.lower() == query.question.lower()
