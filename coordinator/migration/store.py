"""A store that speaks etcd's API, at any of several endpoints."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc

from coordinator.errors import CoordinatorError
from coordinator.gateways.etcd.pb import kv_pb2, lease_pb2, mvcc_pb2, watch_pb2

CALL_S = 10.0
PATIENCE_S = 30.0
"""How long an answer is asked for, at one endpoint after the other."""
RETRY_S = 0.5
PAGE_KEYS = 500
PAGE_SIZE_BYTES_MAX = 256 * 1024 * 1024
"""Of one answer: what an etcd may send for so many of its largest keys."""
_PASSING = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
_GONE = frozenset({grpc.StatusCode.NOT_FOUND})


class StoreError(CoordinatorError):
    """A store does not answer, or refuses; the message is for whoever started the program."""


class Compacted(CoordinatorError):
    """What is asked for is not in the history of the store any more."""


class Store:
    """One of both. Calls go to another endpoint when one fails; puts and deletes may so be made twice, to no harm."""

    def __init__(self, name: str, endpoints: Sequence[str]) -> None:
        """`name`: how it is called in messages."""
        self.name = name
        options = (("grpc.max_receive_message_length", PAGE_SIZE_BYTES_MAX),)
        self._channels = [grpc.aio.insecure_channel(each, options=options) for each in endpoints]
        self._at = 0

    async def close(self) -> None:
        """Lets go of all connections."""
        for channel in self._channels:
            await channel.close()

    async def _call(self, method: str, request: Any) -> Any:
        module = sys.modules[type(request).__module__]
        name = type(request).__name__.removesuffix("Request") + "Response"
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while True:
            stub: Any = self._channels[self._at].unary_unary(
                f"/etcdserverpb.{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=getattr(module, name).FromString,
            )
            try:
                return await stub(request, timeout=CALL_S)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.OUT_OF_RANGE and "compacted" in (
                    error.details() or ""
                ):
                    raise Compacted(str(error.details())) from None
                if error.code() not in _PASSING or loop.time() > deadline:
                    raise StoreError(f"{self.name}: {method}: {error.details()}") from error
            self._next()
            await asyncio.sleep(RETRY_S)

    def _next(self) -> None:
        self._at = (self._at + 1) % len(self._channels)

    # --- keys -----------------------------------------------------------------------------------------

    async def count(self, start: bytes, end: bytes) -> tuple[int, int]:
        """Returns how many keys there are, and the revision of the store."""
        request = kv_pb2.RangeRequest(key=start, range_end=end, count_only=True)
        answer = await self._call("KV/Range", request)
        return answer.count, answer.header.revision

    async def pages(
        self, start: bytes, end: bytes, revision: int
    ) -> AsyncIterator[Sequence[mvcc_pb2.KeyValue]]:
        """Yields the keys within bounds as they were at a revision, ascending. Raises StoreError or Compacted."""
        while True:
            request = kv_pb2.RangeRequest(
                key=start, range_end=end, limit=PAGE_KEYS, revision=revision
            )
            answer = await self._call("KV/Range", request)
            if answer.kvs:
                yield answer.kvs
            if not answer.more:
                return
            start = answer.kvs[-1].key + b"\0"

    async def write(self, ops: Sequence[kv_pb2.RequestOp]) -> None:
        """Carries out operations, in one revision."""
        await self._call("KV/Txn", kv_pb2.TxnRequest(success=ops))

    # --- leases ---------------------------------------------------------------------------------------

    async def time_left(self, lease: int) -> int:
        """Returns how many seconds a lease has left; negative: it is gone."""
        request = lease_pb2.LeaseTimeToLiveRequest(ID=lease)
        left: int = (await self._call("Lease/LeaseTimeToLive", request)).TTL
        return left

    async def grant(self, lease: int, ttl_s: int) -> None:
        """Grants a lease, unless it is there."""
        try:
            request = lease_pb2.LeaseGrantRequest(ID=lease, TTL=ttl_s)
            await self._call("Lease/LeaseGrant", request)
        except StoreError as error:
            cause = error.__cause__
            exists = grpc.StatusCode.FAILED_PRECONDITION
            if not isinstance(cause, grpc.aio.AioRpcError) or cause.code() is not exists:
                raise

    async def keep_alive(self, leases: Sequence[int]) -> None:
        """Renews leases; one that is gone is passed over. Raises StoreError."""
        stub: Any = self._channels[self._at].stream_stream(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            request_serializer=lease_pb2.LeaseKeepAliveRequest.SerializeToString,
            response_deserializer=lease_pb2.LeaseKeepAliveResponse.FromString,
        )
        requests = [lease_pb2.LeaseKeepAliveRequest(ID=lease) for lease in leases]
        try:
            async for _ in stub(iter(requests), timeout=CALL_S):
                pass
        except grpc.aio.AioRpcError as error:
            self._next()
            if error.code() not in _PASSING:
                raise StoreError(f"{self.name}: LeaseKeepAlive: {error.details()}") from error

    # --- events ---------------------------------------------------------------------------------------

    async def follow(
        self, start: bytes, end: bytes, revision: int
    ) -> AsyncIterator[Sequence[mvcc_pb2.Event]]:
        """Yields the events of one revision after the other, from a revision on. Raises StoreError or Compacted."""
        while True:
            try:
                async for events in self._watch(start, end, revision):
                    revision = events[-1].kv.mod_revision + 1
                    yield events
            except grpc.aio.AioRpcError as error:
                if error.code() not in _PASSING and error.code() not in _GONE:
                    raise StoreError(f"{self.name}: Watch: {error.details()}") from error
            self._next()
            await asyncio.sleep(RETRY_S)

    async def _watch(
        self, start: bytes, end: bytes, revision: int
    ) -> AsyncIterator[Sequence[mvcc_pb2.Event]]:
        stub: Any = self._channels[self._at].stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=watch_pb2.WatchRequest.SerializeToString,
            response_deserializer=watch_pb2.WatchResponse.FromString,
        )
        # A member that has lost its cluster ends the stream, and another one is asked.
        call = stub(metadata=(("hasleader", "true"),))
        create = watch_pb2.WatchCreateRequest(key=start, range_end=end, start_revision=revision)
        try:
            await call.write(watch_pb2.WatchRequest(create_request=create))
            while (response := await call.read()) is not grpc.aio.EOF:
                if response.canceled:
                    raise Compacted(response.cancel_reason or "history was compacted")
                for events in by_revision(response.events):
                    yield events
        finally:
            call.cancel()


def by_revision(events: Sequence[mvcc_pb2.Event]) -> list[list[mvcc_pb2.Event]]:
    """Returns events, which are in order, in groups of one revision."""
    groups: list[list[mvcc_pb2.Event]] = []
    for event in events:
        if not groups or groups[-1][0].kv.mod_revision != event.kv.mod_revision:
            groups.append([])
        groups[-1].append(event)
    return groups
