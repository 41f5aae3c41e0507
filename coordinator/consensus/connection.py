"""One connection to another member: frames in, frames out, and the first message that says who is there."""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol, cast

from coordinator.consensus.codec import (
    HEADER,
    HELLO_SIZE_BYTES_MAX,
    CodecError,
    Hello,
    Message,
    Ping,
    decode_payload,
)
from coordinator.consensus.settings import EngineConfig


class _Listener(Protocol):
    def peer_writable(self, member: int) -> None: ...

    def message_received(self, member: int, message: Message) -> None: ...


class Switchboard(Protocol):
    """What a connection needs of the transport it belongs to."""

    @property
    def config(self) -> EngineConfig: ...

    @property
    def listener(self) -> _Listener: ...

    def greeting(self) -> bytes: ...

    def connection_made(self, connection: Connection) -> bool: ...

    def introduce(self, connection: Connection, hello: Message) -> None: ...

    def note_refusal(self, connection: Connection, reason: str) -> None: ...

    def current(self, connection: Connection) -> bool: ...

    def connection_lost(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """Frames over one TCP connection."""

    def __init__(self, board: Switchboard, dialed: int | None) -> None:
        self.dialed = dialed
        """The member that was dialed; None: the other side dialed."""
        self.member = 0
        """The member at the other end; 0: not known yet, or refused."""
        self.host = "?"
        self.address = "?"
        self.last_received = 0.0
        self.last_sent = 0.0
        self.closed = asyncio.Event()
        self._board = board
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._hello_timer: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.host, self.address = str(peer[0]), f"{peer[0]}:{peer[1]}"
        connected = transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        window = self._board.config.send_window_bytes_max
        self._transport.set_write_buffer_limits(high=window // 2, low=window // 4)
        self.last_received = self.last_sent = self._loop.time()
        if not self._board.connection_made(self):
            self.abort()
            return
        self._hello_timer = self._loop.call_later(
            self._board.config.hello_timeout_ms / 1_000, self._give_up
        )
        if self.dialed is not None:
            self.write(self._board.greeting())

    def data_received(self, data: bytes) -> None:
        self.last_received = self._loop.time()
        self._buffer += data
        consumed = 0
        with memoryview(self._buffer) as view:
            while not self._refused and (size := self._frame_size(view, consumed)):
                end = consumed + HEADER.size + size
                if end > len(view):
                    break
                _, checksum = HEADER.unpack_from(view, consumed)
                with view[consumed + HEADER.size : end] as payload:
                    self._take_frame(payload, checksum)
                consumed = end
        if self._refused:
            self._buffer.clear()
        else:
            del self._buffer[:consumed]

    def connection_lost(self, exc: Exception | None) -> None:
        self._refused = True
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        self._board.connection_lost(self)
        self.closed.set()

    def resume_writing(self) -> None:
        if self.member and self._board.current(self):
            self._board.listener.peer_writable(self.member)

    def send(self, frame: bytes) -> bool:
        """False if the connection is closing or more than the window is on its way."""
        transport = self._transport
        if transport is None or self._refused or transport.is_closing():
            return False
        if (
            transport.get_write_buffer_size() + len(frame)
            > self._board.config.send_window_bytes_max
        ):
            return False
        self.write(frame)
        return True

    def write(self, frame: bytes) -> None:
        """Writes without regard to the window."""
        assert self._transport is not None
        self.last_sent = self._loop.time()
        self._transport.write(frame)

    def close(self) -> None:
        """Closes once all is sent; nothing more is received."""
        self._refused = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Closes at once; nothing more is received, `connection_lost` follows."""
        self._refused = True
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, reason: str) -> None:
        self._board.note_refusal(self, reason)
        self.abort()

    def _give_up(self) -> None:
        if not self.member:
            self._refuse("it did not introduce itself in time")

    def _frame_size(self, view: memoryview, position: int) -> int:
        """Size of the next payload; 0: not known yet, or the connection was refused."""
        if position + HEADER.size > len(view):
            return 0
        size: int
        size, _ = HEADER.unpack_from(view, position)
        limit = self._board.config.frame_size_bytes_max if self.member else HELLO_SIZE_BYTES_MAX
        if not 0 < size <= limit:
            self._refuse(f"a frame of {size} bytes is beyond the limit of {limit}")
            return 0
        return size

    def _take_frame(self, payload: memoryview, checksum: int) -> None:
        try:
            message = decode_payload(payload, checksum)
        except CodecError as error:
            self._refuse(str(error))
            return
        if not self.member:
            self._board.introduce(self, message)
            if self.member and self._hello_timer is not None:
                self._hello_timer.cancel()
        elif isinstance(message, Hello):
            self._refuse("it introduced itself twice")
        elif not isinstance(message, Ping) and self._board.current(self):
            self._board.listener.message_received(self.member, message)
