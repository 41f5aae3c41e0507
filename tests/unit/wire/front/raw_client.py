"""A client that says exactly what a test wants: frames by the `h2` package, over a plain or an encrypted socket."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
from hyperframe.frame import GoAwayFrame

WAIT_S = 10.0
Fields = list[tuple[str, str]]


def framed(message: bytes, compressed: int = 0) -> bytes:
    """Returns a message as it stands in DATA frames."""
    return bytes((compressed,)) + len(message).to_bytes(4, "big") + message


def call_fields(path: str, extra: Iterable[tuple[str, str]] = (), **replaced: str | None) -> Fields:
    """Returns the head of a call; `replaced`: other values of its fields, `_` for `-`; None: without the field."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    for name, value in replaced.items():
        name = name.replace("_", "-")
        name = f":{name}" if f":{name}" in fields else name
        if value is None:
            fields.pop(name, None)
        else:
            fields[name] = value
    return [*fields.items(), *extra]


@dataclass
class Reply:
    """What came on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    trailers: dict[str, str] = field(default_factory=dict)
    reset: int | None = None
    blocks: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    some: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> str | None:
        """The gRPC status, from trailers or from a reply that is nothing but them."""
        return self.trailers.get("grpc-status", self.headers.get("grpc-status"))

    @property
    def message(self) -> str:
        return self.trailers.get("grpc-message", self.headers.get("grpc-message", ""))

    @property
    def messages(self) -> list[bytes]:
        """The messages in the body."""
        found, place, body = [], 0, bytes(self.body)
        while place < len(body):
            assert body[place] == 0
            size = int.from_bytes(body[place + 1 : place + 5], "big")
            found.append(body[place + 5 : place + 5 + size])
            place += 5 + size
        return found


class RawClient:
    """One connection. Windows are given back as data comes, unless `reads` is False."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reads: bool = True
    ) -> None:
        self.reader, self.writer = reader, writer
        self.reads = reads
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        # The package takes any GOAWAY for the end of all streams, which a first one is not (RFC 9113, section 6.8).
        self.h2._frame_dispatch_table[GoAwayFrame] = self._note_goaway
        self.replies: dict[int, Reply] = {}
        self.goaways: list[tuple[int, int, bytes]] = []
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.closed = asyncio.Event()
        self.answers_pings = True
        self._reading: asyncio.Task[None] | None = None

    async def begin(self, settings: dict[int, int] | None = None) -> None:
        """Sends preface and settings, and begins to read."""
        if settings:
            self.h2.local_settings = h2.settings.Settings(client=True, initial_values=settings)  # type: ignore[arg-type]  # plain numbers do
        self.h2.initiate_connection()
        self.flush()
        self._reading = asyncio.create_task(self._read())

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def raw(self, data: bytes) -> None:
        """Sends bytes that are nobody's frames."""
        self.writer.write(data)

    def open(self, fields: Fields, ended: bool = False) -> int:
        """Sends the head of a call; returns the number of its stream."""
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, fields, end_stream=ended)
        self.replies[stream_id] = Reply()
        self.flush()
        return stream_id

    def send(self, stream_id: int, data: bytes, ended: bool = False) -> None:
        self.h2.send_data(stream_id, data, end_stream=ended)
        self.flush()

    def reset(self, stream_id: int, code: int = 8) -> None:
        self.h2.reset_stream(stream_id, code)
        self.flush()

    async def ended(self, stream_id: int) -> Reply:
        """Waits for the end of a stream."""
        reply = self.replies[stream_id]
        await asyncio.wait_for(reply.over.wait(), WAIT_S)
        return reply

    async def call(
        self, path: str, *pieces: bytes, fields: Fields | None = None, ended: bool = True
    ) -> Reply:
        """Makes a call whose body comes in these DATA frames."""
        stream_id = self.open(fields or call_fields(path), ended=not pieces and ended)
        for place, piece in enumerate(pieces, 1):
            self.send(stream_id, piece, ended=ended and place == len(pieces))
        return await self.ended(stream_id)

    async def _read(self) -> None:
        try:
            while data := await self.reader.read(65_536):
                for event in self.h2.receive_data(data):
                    self._take(event)
                self.flush()
        except (OSError, ssl.SSLError):
            pass
        finally:
            self.closed.set()
            for reply in self.replies.values():
                reply.over.set()

    def _take(self, event: Any) -> None:
        reply = self.replies.get(getattr(event, "stream_id", None) or 0, Reply())
        if isinstance(event, h2.events.ResponseReceived):
            reply.headers = _texts(event.headers)
            reply.blocks += 1
            reply.some.set()
        elif isinstance(event, h2.events.DataReceived):
            reply.body += event.data or b""
            reply.some.set()
            if self.reads and event.flow_controlled_length:
                self.h2.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id or 0
                )
        elif isinstance(event, h2.events.TrailersReceived):
            reply.trailers = _texts(event.headers)
            reply.blocks += 1
        elif isinstance(event, h2.events.StreamReset):
            reply.reset = int(event.error_code or 0)
            reply.over.set()
        elif isinstance(event, h2.events.StreamEnded):
            reply.over.set()
        elif isinstance(event, h2.events.PingReceived):
            self.pings.append(event.ping_data or b"")
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs.append(event.ping_data or b"")

    def _note_goaway(self, frame: Any) -> tuple[list[Any], list[Any]]:
        self.goaways.append((frame.error_code, frame.last_stream_id, frame.additional_data))
        return [], []

    async def close(self) -> None:
        self.writer.close()
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=WAIT_S)


def _texts(fields: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in fields or ()}


@asynccontextmanager
async def connected(
    port: int, *, context: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[RawClient]:
    """Yields a client that has begun; `options`: of `RawClient`, and `settings`."""
    settings = options.pop("settings", None)
    name = "localhost" if context is not None else None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name
    )
    client = RawClient(reader, writer, **options)
    await client.begin(settings)
    try:
        yield client
    finally:
        await client.close()
