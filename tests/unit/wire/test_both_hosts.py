"""The same calls on both hosts, by grpcio's clients: replies, statuses, words and trailers are the same."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from coordinator.config import Limits
from coordinator_client.pb import kv_pb2 as pb
from tests.hosts import SERVERS
from tests.unit.wire.echoing import Echoing, put, serving, until
from tests.unit.wire.front.raw_client import call_fields, connected, framed

LIMITS = Limits(request_size_bytes_max=1_000, txn_reply_size_bytes_max=1_000_000)
HEALTH = "/grpc.health.v1.Health/"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def raw(message: bytes) -> bytes:
    return message


class Both:
    """A client of each host; what one gets, the other must get."""

    def __init__(self, channels: dict[str, grpc.aio.Channel], ports: dict[str, int]) -> None:
        self.channels = channels
        self.ports = ports
        self.echoings: dict[str, Echoing] = {}

    async def unary(self, path: str, message: bytes, **options: Any) -> Any:
        """Returns what both answer to a call: code, words, reply, trailers."""
        found = [
            await self._unary(channel, path, message, **options)
            for channel in self.channels.values()
        ]
        assert found[0] == found[1], found
        return found[0]

    async def _unary(
        self, channel: grpc.aio.Channel, path: str, message: bytes, **options: Any
    ) -> Any:
        call = channel.unary_unary(path, raw, raw)(message, **options)
        try:
            reply: bytes | None = await call
        except grpc.aio.AioRpcError:
            reply = None
        return await ending(call, reply)

    async def stream(self, path: str, *messages: bytes, **options: Any) -> Any:
        """Returns what both answer to a stream of messages."""
        found = []
        for channel in self.channels.values():
            call: Any = channel.stream_stream(path, raw, raw)(**options)
            replies = []
            try:
                for message in messages:
                    await call.write(message)
                await call.done_writing()
                while (reply := await call.read()) is not grpc.aio.EOF:
                    replies.append(reply)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                pass
            found.append(await ending(call, replies))
        assert found[0] == found[1], found
        return found[0]


async def ending(call: Any, reply: Any) -> Any:
    return await call.code(), await call.details(), reply, tuple(await call.trailing_metadata())


@pytest.fixture
async def both() -> Any:
    async with serving("front", LIMITS) as front, serving("grpcio", LIMITS) as other:
        ports = {"front": front[2], "grpcio": other[2]}
        options = (("grpc.max_receive_message_length", 64 << 20),)
        channels = {
            name: grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)
            for name, port in ports.items()
        }
        made = Both(channels, ports)
        made.echoings = {"front": front[1], "grpcio": other[1]}
        yield made
        for channel in channels.values():
            await channel.close()


@pytest.mark.parametrize("size", [0, 1, 100, 16_379, 16_380, 70_000, 1_000_000])
async def test_echoes_of_all_sizes(both: Both, size: int) -> None:
    code, _, reply, _ = await both.unary("/test.Service/Echo", put(b"x" * size))
    assert code == grpc.StatusCode.OK
    assert pb.PutResponse.FromString(reply).key == b"x" * size


@pytest.mark.parametrize(
    ("path", "message", "code"),
    [
        ("/test.Service/Echo", put(b"refuse"), grpc.StatusCode.NOT_FOUND),
        ("/test.Service/Echo", put(b"fail"), grpc.StatusCode.INTERNAL),
        ("/test.Service/Echo", b"\xff\xff", grpc.StatusCode.UNKNOWN),
        ("/test.Service/Nothing", put(b"x"), grpc.StatusCode.UNIMPLEMENTED),
        ("/test.Nobody/Echo", put(b"x"), grpc.StatusCode.UNIMPLEMENTED),
        ("/test.Service/Echo", put(b"x" * 3_000_000), grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("/test.Service/Big", put(b"5000000"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (HEALTH + "Check", b"\x0a\x07nothing", grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_refusals(both: Both, path: str, message: bytes, code: grpc.StatusCode) -> None:
    found = await both.unary(path, message)
    assert found[0] == code


async def test_details_are_machine_readable(both: Both) -> None:
    code, words, _, trailers = await both.unary("/test.Service/Echo", put(b"refuse"))
    assert (code, words) == (grpc.StatusCode.NOT_FOUND, "there is none: 100 % ä\n")
    status = status_pb2.Status.FromString(dict(trailers)["grpc-status-details-bin"])
    detail = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(detail)
    assert (detail.reason, dict(detail.metadata)) == ("NO_SUCH", {"a": "b"})


async def test_metadata_and_deadlines_reach_methods(both: Both) -> None:
    metadata = (("note", "hello"), ("again", "1"), ("again", "2"), ("blob-bin", b"\0\1\xff"))
    _, _, reply, _ = await both.unary("/test.Service/Tell", b"", metadata=metadata, timeout=30)
    told = pb.PutResponse.FromString(reply).key.decode()
    assert told == repr(("ipv4", [("again", "2"), ("note", "hello")], 30, None))
    _, _, reply, _ = await both.unary("/test.Service/Tell", b"")
    assert pb.PutResponse.FromString(reply).key == repr(("ipv4", [], None, None)).encode()


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_messages(both: Both, compression: grpc.Compression) -> None:
    for size in (1, 50_000):
        code, _, reply, _ = await both.unary(
            "/test.Service/Echo", put(b"x" * size), compression=compression
        )
        assert code == grpc.StatusCode.OK
        assert pb.PutResponse.FromString(reply).key == b"x" * size


async def test_what_unpacks_to_too_much_is_refused(both: Both) -> None:
    code, words, _, _ = await both.unary(
        "/test.Service/Echo", put(b"x" * 3_000_000), compression=grpc.Compression.Gzip
    )
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and "ecompressed" in words


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (put(b"a"),),
        (put(b"a"), put(b""), put(b"x" * 100_000), put(b"c")),
        tuple(put(b"%d" % i) for i in range(200)),
    ],
)
async def test_streams(both: Both, messages: tuple[bytes, ...]) -> None:
    code, _, replies, _ = await both.stream("/test.Service/Talk", *messages)
    assert code == grpc.StatusCode.OK
    assert sorted(replies) == sorted(messages_of(messages))
    _, _, replies, _ = await both.stream("/test.Service/Collect", *messages)
    size = sum(len(pb.PutRequest.FromString(message).key) for message in messages)
    assert pb.PutResponse.FromString(replies[0]).key == b"%d %d" % (len(messages), size)


def messages_of(messages: tuple[bytes, ...]) -> list[bytes]:
    keys = (pb.PutRequest.FromString(message).key for message in messages)
    return [pb.PutResponse(key=key).SerializeToString() for key in keys]


@pytest.mark.parametrize("word", [b"refuse", b"fail"])
async def test_streams_that_end_with_an_error(both: Both, word: bytes) -> None:
    code, _, replies, _ = await both.stream("/test.Service/Talk", put(word))
    assert code != grpc.StatusCode.OK and not replies


async def test_streams_of_what_is_no_message(both: Both) -> None:
    code, _, _, _ = await both.stream("/test.Service/Talk", b"\xff\xff")
    assert code == grpc.StatusCode.INTERNAL
    code, _, _, _ = await both.stream("/test.Service/Talk", put(b"x" * 3_000_000))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("path", ["/test.Service/Slow", "/test.Service/Linger"])
async def test_a_deadline_ends_the_method(both: Both, path: str) -> None:
    for channel in both.channels.values():
        # Client and server see it pass at the same time: the words tell who was first.
        code, _, _, _ = await both._unary(channel, path, put(b"x"), timeout=0.3)
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    for echoing in both.echoings.values():
        await until(lambda e=echoing: (e.begun, e.cancelled) == (1, 1))


@pytest.mark.parametrize("path", ["/test.Service/Slow", "/test.Service/Linger"])
async def test_a_client_that_cancels_ends_the_method(both: Both, path: str) -> None:
    for name, channel in both.channels.items():
        call = channel.unary_unary(path, raw, raw)(put(b"x"))
        echoing = both.echoings[name]
        await until(lambda e=echoing: e.begun == 1)
        call.cancel()
        await until(lambda e=echoing: e.cancelled == 1)


async def test_health(both: Both) -> None:
    serving_now = health_pb2.HealthCheckResponse(status=1).SerializeToString()
    for name in (b"", b"test.Service"):
        message = health_pb2.HealthCheckRequest(service=name.decode()).SerializeToString()
        code, _, reply, _ = await both.unary(HEALTH + "Check", message)
        assert (code, reply) == (grpc.StatusCode.OK, serving_now)


def questions() -> list[Callable[..., Any]]:
    ask = reflection_pb2.ServerReflectionRequest
    extension = reflection_pb2.ExtensionRequest
    field_options = "google.protobuf.FieldOptions"
    return [
        lambda: ask(list_services=""),
        lambda: ask(file_by_filename="google/protobuf/empty.proto"),
        lambda: ask(file_by_filename="none.proto"),
        lambda: ask(file_containing_symbol="grpc.health.v1.Health"),
        lambda: ask(file_containing_symbol="coordinator.v1.KV"),
        lambda: ask(file_containing_symbol="nothing"),
        lambda: ask(all_extension_numbers_of_type=field_options),
        lambda: ask(all_extension_numbers_of_type="nothing"),
        lambda: ask(file_containing_extension=extension(containing_type="no", extension_number=1)),
        lambda: ask(
            file_containing_extension=extension(
                containing_type=field_options, extension_number=77_777
            )
        ),
        lambda: ask(host="here"),
    ]


@pytest.mark.parametrize("question", questions())
async def test_reflection(both: Both, question: Callable[..., Any]) -> None:
    code, _, replies, _ = await both.stream(REFLECT, question().SerializeToString())
    assert code == grpc.StatusCode.OK and len(replies) == 1


@pytest.mark.parametrize("host", SERVERS)
def test_blocking_clients(host: str) -> None:
    """grpcio's other client, from a thread of its own."""

    def talk(port: int) -> list[bytes]:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            echo = channel.unary_unary("/test.Service/Echo", raw, raw)
            replies = [echo(put(b"%d" % i), timeout=10) for i in range(20)]
            stream = channel.stream_stream("/test.Service/Talk", raw, raw)
            replies += stream(iter([put(b"a")]), timeout=10)
            with pytest.raises(grpc.RpcError) as caught:
                echo(put(b"refuse"), timeout=10)
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND
            return replies

    async def run() -> None:
        async with serving(host) as (_, _, port):
            replies = await asyncio.to_thread(talk, port)
        assert replies == messages_of((*(put(b"%d" % i) for i in range(20)), put(b"a")))

    asyncio.run(run())


ECHO, COLLECT = "/test.Service/Echo", "/test.Service/Collect"
HELLO = framed(put(b"hello"))
PACKED = framed(gzip.compress(put(b"hello"), mtime=0), 1)


@pytest.mark.parametrize(
    ("path", "pieces", "extra"),
    [
        (ECHO, (HELLO,), {}),
        (ECHO, tuple(bytes((byte,)) for byte in HELLO), {}),
        (ECHO, (HELLO, b""), {}),
        (ECHO, (HELLO + HELLO,), {}),
        (ECHO, (HELLO,), {"grpc_encoding": "gzip"}),
        (ECHO, (PACKED,), {"grpc_encoding": "gzip"}),
        (ECHO, (PACKED,), {}),
        (ECHO, (framed(b"nonsense", 1),), {"grpc_encoding": "gzip"}),
        (ECHO, (framed(b"\xff"),), {}),
        (ECHO, (b"\0" + (3_000_001).to_bytes(4, "big"),), {}),
        (ECHO, (HELLO,), {"content_type": "application/grpc+proto"}),
        (ECHO, (HELLO,), {"grpc_timeout": "soon"}),
        (ECHO, (HELLO,), {"grpc_timeout": "0m"}),
        (ECHO, (HELLO,), {"grpc_timeout": "20000000u"}),
        (ECHO, (HELLO,), {"x_bin": "***"}),
        (ECHO, (HELLO,), {"x_bin": "AAE"}),
        (ECHO, (framed(put(b"refuse")),), {}),
        (ECHO, (framed(put(b"fail")),), {}),
        ("/test.Service/Nothing", (HELLO,), {}),
        ("/test.Service/Talk", (HELLO * 3,), {}),
        ("/test.Service/Talk", (), {}),
        ("/test.Service/Talk", (framed(put(b"refuse")),), {}),
        (COLLECT, (HELLO[:3], HELLO[3:] + HELLO[:7], HELLO[7:]), {}),
        (COLLECT, (HELLO + HELLO[:-1],), {}),
        (COLLECT, (PACKED + PACKED,), {"grpc_encoding": "gzip"}),
        (COLLECT, (PACKED,), {}),
        (COLLECT, (b"\0" + (3_000_001).to_bytes(4, "big"),), {}),
        ("/test.Service/Slow", (HELLO,), {"grpc_timeout": "50m"}),
        ("/test.Service/Linger", (HELLO,), {"grpc_timeout": "50m"}),
    ],
)
async def test_frames(
    both: Both, path: str, pieces: tuple[bytes, ...], extra: dict[str, Any]
) -> None:
    """What no library of clients would send, and how replies stand in blocks of header fields."""
    found = []
    for port in both.ports.values():
        async with connected(port) as client:
            reply = await client.call(path, *pieces, fields=call_fields(path, **extra))
        heads = {**reply.headers, **reply.trailers}
        # One tells more often than the other what messages may be compressed with, and that there is no message.
        heads.pop("grpc-accept-encoding", None)
        heads["grpc-message"] = heads.get("grpc-message", "")
        found.append((heads, reply.messages, reply.blocks))
    assert found[0] == found[1]
