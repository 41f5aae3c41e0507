"""etcd's client, with grpc.aio stubs: no Python client of it is faster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc

from benchmarks.peers.clients import Background, Seen
from coordinator.gateways.etcd.pb import kv_pb2 as pb
from coordinator.gateways.etcd.pb import lease_pb2, maintenance_pb2, mvcc_pb2, watch_pb2

KEEP_ALIVES_PER_TTL = 3
STAND_S_MAX = 60.0
NO_LIMITS = [("grpc.max_receive_message_length", -1)]


def _end_of(prefix: str) -> bytes:
    return prefix[:-1].encode() + bytes([ord(prefix[-1]) + 1])


def _serialize(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded


class EtcdClient(Background):
    """A channel to one member; its watches share a stream."""

    exact = True

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self._channel = grpc.aio.insecure_channel(endpoint, options=NO_LIMITS)
        self._put = self._stub("KV/Put", pb.PutResponse)
        self._range = self._stub("KV/Range", pb.RangeResponse)
        self._txn = self._stub("KV/Txn", pb.TxnResponse)
        self._status = self._stub("Maintenance/Status", maintenance_pb2.StatusResponse)

    def _stub(self, method: str, response: type[Any]) -> Any:
        return self._channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=_serialize,
            response_deserializer=response.FromString,
        )

    def _stream(self, method: str, response: type[Any]) -> Any:
        return self._channel.stream_stream(
            f"/etcdserverpb.{method}",
            request_serializer=_serialize,
            response_deserializer=response.FromString,
        )()

    async def prepare(self, keys: list[str], value: bytes) -> None:
        await asyncio.gather(*(self.put(key, value) for key in keys))

    async def fill(self, keys: list[str], value: bytes) -> None:
        puts = [pb.RequestOp(request_put=pb.PutRequest(key=k.encode(), value=value)) for k in keys]
        await self._txn(pb.TxnRequest(success=puts))

    async def put(self, key: str, value: bytes) -> object:
        return await self._put(pb.PutRequest(key=key.encode(), value=value))

    async def get(self, key: str) -> object:
        return await self._range(pb.RangeRequest(key=key.encode()))

    async def get_local(self, key: str) -> bytes | None:
        found = await self._range(pb.RangeRequest(key=key.encode(), serializable=True))
        return found.kvs[0].value if found.kvs else None

    async def range(self, prefix: str) -> int:
        found = await self._range(pb.RangeRequest(key=prefix.encode(), range_end=_end_of(prefix)))
        return len(found.kvs)

    async def read_version(self, key: str) -> int:
        found = await self._range(pb.RangeRequest(key=key.encode()))
        revision: int = found.kvs[0].mod_revision
        return revision

    async def compare_and_set(self, key: str, version: int, value: bytes) -> int | None:
        compare = pb.Compare(
            key=key.encode(), result=pb.Compare.EQUAL, target=pb.Compare.MOD, mod_revision=version
        )
        put = pb.RequestOp(request_put=pb.PutRequest(key=key.encode(), value=value))
        reply = await self._txn(pb.TxnRequest(compare=[compare], success=[put]))
        return int(reply.header.revision) if reply.succeeded else None

    async def read_write_count(self, key: str) -> int:
        """Returns how often a key was written since it came into being."""
        found = await self._range(pb.RangeRequest(key=key.encode()))
        count: int = found.kvs[0].version
        return count

    async def leads(self) -> bool:
        """Whether the member leads."""
        reply = await self._status(maintenance_pb2.StatusRequest())
        return bool(reply.leader == reply.header.member_id)

    async def watch(self, key: str, count: int, seen: Seen, first: int) -> None:
        numbers: dict[int, int] = {}

        def take(watch_id: int, event: Any) -> None:
            seen(numbers[watch_id], event.kv.value, event.kv.mod_revision)

        create = watch_pb2.WatchCreateRequest(key=key.encode())
        await self._follow(create, [numbers, first, count], take)

    async def watch_removals(self, prefix: str, gone: Callable[[str], None]) -> None:
        def take(_: int, event: Any) -> None:
            assert event.type == mvcc_pb2.Event.DELETE
            gone(event.kv.key.decode())

        create = watch_pb2.WatchCreateRequest(
            key=prefix.encode(),
            range_end=_end_of(prefix),
            filters=[watch_pb2.WatchCreateRequest.NOPUT],
        )
        await self._follow(create, [{}, 0, 1], take)

    async def _follow(
        self, create: watch_pb2.WatchCreateRequest, wanted: Any, take: Callable[[int, Any], None]
    ) -> None:
        numbers, first, count = wanted
        stream = self._stream("Watch/Watch", watch_pb2.WatchResponse)
        stand = asyncio.Event()

        async def read() -> None:
            while (reply := await stream.read()) is not grpc.aio.EOF:
                if reply.canceled:
                    raise RuntimeError(f"etcd ended a watch: {reply.cancel_reason}")
                if reply.created:
                    numbers[reply.watch_id] = first + len(numbers)
                    if len(numbers) == count:
                        stand.set()
                for event in reply.events:
                    take(reply.watch_id, event)

        self._tasks.append(asyncio.create_task(read()))
        for _ in range(count):
            await stream.write(watch_pb2.WatchRequest(create_request=create))
        standing = asyncio.create_task(stand.wait())
        await asyncio.wait(
            [standing, self._tasks[-1]],
            timeout=STAND_S_MAX,
            return_when=asyncio.FIRST_COMPLETED,
        )
        self.check()
        if not standing.done():
            standing.cancel()
            raise RuntimeError(f"{len(numbers)} of {count} watches of etcd stand")

    async def close(self) -> None:
        await self.cancel()
        await self._channel.close()


class EtcdSessions(EtcdClient):
    """Leases, which share one stream of keep-alives."""

    def __init__(self, endpoint: str, ttl_s: float) -> None:
        super().__init__(endpoint)
        self._ttl_s = ttl_s
        self._grant = self._stub("Lease/LeaseGrant", lease_pb2.LeaseGrantResponse)
        self._leases: list[int] = []
        self._due: asyncio.Queue[tuple[float, int]] = asyncio.Queue()
        self._sent: dict[int, float] = {}
        self._heard: dict[int, float] = {}

    async def open(self) -> None:
        if not self._tasks:
            stream = self._stream("Lease/LeaseKeepAlive", lease_pb2.LeaseKeepAliveResponse)
            self._tasks = [
                asyncio.create_task(self._ask(stream)),
                asyncio.create_task(self._hear(stream)),
            ]
        now_s = time.monotonic()
        reply = await self._grant(lease_pb2.LeaseGrantRequest(TTL=int(self._ttl_s)))
        if int(self._ttl_s) != reply.TTL:
            raise RuntimeError(f"etcd granted a TTL of {reply.TTL} s")
        self._leases.append(reply.ID)
        self._heard[reply.ID] = now_s
        self._due.put_nowait((now_s + self._ttl_s / KEEP_ALIVES_PER_TTL, reply.ID))

    async def _ask(self, stream: Any) -> None:
        while True:
            # All leases have the same TTL, so they are due in the order in which they were asked for.
            due_s, lease = await self._due.get()
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            self._sent[lease] = time.monotonic()
            await stream.write(lease_pb2.LeaseKeepAliveRequest(ID=lease))
            next_s = self._sent[lease] + self._ttl_s / KEEP_ALIVES_PER_TTL
            self._due.put_nowait((next_s, lease))

    async def _hear(self, stream: Any) -> None:
        while (reply := await stream.read()) is not grpc.aio.EOF:
            if reply.TTL <= 0:
                raise RuntimeError("a lease expired although it was kept alive")
            self._heard[reply.ID] = self._sent[reply.ID]

    async def own(self, number: int, key: str) -> None:
        await self._put(pb.PutRequest(key=key.encode(), lease=self._leases[number]))

    async def abandon(self) -> list[float]:
        self.check()
        until = [self._heard[lease] + self._ttl_s for lease in self._leases]
        await self.close()
        return until
