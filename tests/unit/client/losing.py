"""What happens between a client and its node: answers get lost on their way back, others come first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc

from coordinator_client import aio, calls
from coordinator_client.calls import Method, Reply, Request
from coordinator_client.failures import CallFailed, Failure
from coordinator_client.pb import kv_pb2


class Loss:
    """Loses the answers of transactions that write, `left` of them."""

    def __init__(self, client: aio.Client) -> None:
        self.left = 0
        self.lost = 0
        self._attempt = client._connection.attempt
        client._connection.attempt = self.attempt  # type: ignore[method-assign]  # stands between

    async def attempt(
        self,
        endpoint: str,
        method: Method[Request, Reply],
        request: Request,
        timeout_s: float,
        *,
        safe: bool = False,
    ) -> Reply:
        reply = await self._attempt(endpoint, method, request, timeout_s, safe=safe)
        writes = isinstance(request, kv_pb2.TxnRequest) and any(
            op.WhichOneof("request") != "range" for op in request.success
        )
        if method.path == calls.TXN.path and writes and self.left:
            self.left -= 1
            self.lost += 1
            raise CallFailed(Failure(grpc.StatusCode.UNAVAILABLE, "the answer got lost"))
        return reply


class Overtaken:
    """Does something right before a transaction that `chosen` picks is sent, once; counts all transactions."""

    def __init__(
        self,
        client: aio.Client,
        chosen: Callable[[kv_pb2.TxnRequest], bool],
        first: Callable[[], Awaitable[object]],
    ) -> None:
        self.count = 0
        self.happened = False
        self._chosen = chosen
        self._first = first
        self._attempt = client._connection.attempt
        client._connection.attempt = self.attempt  # type: ignore[method-assign]  # stands between

    async def attempt(
        self,
        endpoint: str,
        method: Method[Request, Reply],
        request: Request,
        timeout_s: float,
        *,
        safe: bool = False,
    ) -> Reply:
        if isinstance(request, kv_pb2.TxnRequest):
            self.count += 1
            if not self.happened and self._chosen(request):
                self.happened = True
                await self._first()
        return await self._attempt(endpoint, method, request, timeout_s, safe=safe)
