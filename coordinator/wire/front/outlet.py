"""The writing side of a connection: what is sent when, who waits for room, and a client that does not read."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Protocol

from coordinator.config import MIB
from coordinator.wire.front.host import Host
from coordinator.wire.front.vigil import Verdict, Vigil
from coordinator.wire.http2.connection import Connection

UNSENT_BYTES_MAX = 64 * 1024
"""Of one stream, that wait for its window; with more, its method waits."""
FLUSH_BYTES = 128 * 1024
"""So much is not kept for the end of the turn."""
READING_PAUSES_BYTES = 8 * MIB
"""A client that has so much to read is not read from, so that it asks for no more."""
UNREAD_EXCESS = 4
"""A connection with so many times the bytes that may stall is ended without waiting."""
RELEASED_AT_ONCE = 64
"""Methods that go on together when a client reads again, and that are looked at together."""
PING = b"are-you?"


class Sender(Protocol):
    """A stream that may have to wait before it sends."""

    stream_id: int
    room: asyncio.Event | None
    """Set when something may be sent again, while somebody waits for that."""


class Outlet(asyncio.Protocol):
    """Writes what a connection has to say, as its client takes it."""

    def __init__(self, host: Host, transport: asyncio.Transport) -> None:
        self.host = host
        self.http2 = Connection(host.http2_limits, host.tallies.abuse)
        self._transport = transport
        self._dirty = False
        self._unflushed = 0
        self._paused = False
        self._reading = True
        self._closing = False
        self._thirsty: dict[Sender, None] = {}
        """Those that wait for the transport to take more."""
        self._windowed: dict[Sender, None] = {}
        """Those that wait for a window of theirs."""
        self._unsent_seen = 0
        self._unseen = 0
        """How many of them are to be looked at, as some window may have opened."""
        self._vigil = Vigil(host.limits, host.timing, host.loop.time())

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._read_again()
        self._release_thirsty()
        self.mark()

    def _read_again(self) -> None:
        if not self._reading:
            self._reading = True
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def mark(self) -> None:
        """Sees to it that what there is to write is written at the end of this turn."""
        if not self._dirty:
            self._dirty = True
            self.host.turn.add(self)

    def flush(self) -> None:
        """Writes what there is to write, unless the transport takes no more."""
        self._dirty = False
        if not self._paused:
            self._write()
            if self._thirsty and not self._paused:
                self._release_thirsty()
            if self._windowed:
                self._release_windowed()
        if self._paused or self.http2.unsent_total:
            self._check_backlog()

    def _write(self) -> None:
        self._unflushed = 0
        pieces = self.http2.output()
        if pieces and not self._transport.is_closing():
            self._transport.writelines(pieces)

    @property
    def _unread(self) -> int:
        """Bytes that wait for the client to take them, more or less."""
        waiting = self._unflushed + self.http2.unsent_total
        return self._transport.get_write_buffer_size() + waiting

    def _check_backlog(self) -> None:
        unread = self._unread
        if self._paused and self._reading and not self._closing and unread > READING_PAUSES_BYTES:
            self._reading = False
            self._transport.pause_reading()
        if unread > UNREAD_EXCESS * self.host.limits.connection_unread_bytes_max:
            self._abandon()

    def _abandon(self) -> None:
        """Ends the connection of a client that does not read: it would not read why."""
        if not self._transport.is_closing():
            self.host.tallies.connections_stalled += 1
            self._transport.abort()

    def is_full(self, call: Sender) -> bool:
        """Returns whether the call must wait before it sends."""
        return self._paused or (
            self.http2.unsent_total > 0 and self.http2.unsent(call.stream_id) > UNSENT_BYTES_MAX
        )

    async def room_for(self, call: Sender) -> None:
        """Waits until the call may send, or is over."""
        room = call.room
        if room is None:
            room = call.room = asyncio.Event()
        room.clear()
        (self._thirsty if self._paused else self._windowed)[call] = None
        await room.wait()

    def wait_no_more(self, call: Sender) -> None:
        """The call is over: who waits for it to have room goes on."""
        self._thirsty.pop(call, None)
        self._windowed.pop(call, None)
        if call.room is not None:
            call.room.set()

    def _release_thirsty(self) -> None:
        """Lets some methods go on, those first that have waited longest."""
        for call in list(islice(self._thirsty, RELEASED_AT_ONCE)):
            del self._thirsty[call]
            if call.room is not None:
                call.room.set()
        if self._thirsty:
            self.mark()

    def _release_windowed(self) -> None:
        """Lets methods go on whose window has opened, if any has; of very many, some are looked at in each turn."""
        if self.http2.unsent_total != self._unsent_seen:
            self._unsent_seen = self.http2.unsent_total
            self._unseen = len(self._windowed)
        calls = list(islice(self._windowed, min(self._unseen, RELEASED_AT_ONCE)))
        self._unseen -= len(calls)
        for call in calls:
            del self._windowed[call]
            if self.http2.unsent(call.stream_id) > UNSENT_BYTES_MAX // 2:
                self._windowed[call] = None
            elif call.room is not None:
                call.room.set()
        self._unseen = min(self._unseen, len(self._windowed))
        if self._unseen:
            self.mark()

    def check(self, now: float) -> None:
        """Looks, now and then, whether the client is still there and reads."""
        if self._windowed:
            # Windows may have opened as much as others filled up.
            self._unseen = len(self._windowed)
            self.mark()
        verdict = self._vigil.look(
            now,
            self._unread,
            greeted=self.http2.settled,
            reading=self._reading,
            closing=self._closing,
        )
        if verdict is Verdict.ASK:
            self.http2.ping(PING)
            self.mark()
        elif verdict is Verdict.SILENT:
            self.host.tallies.connections_silent += 1
            self._transport.abort()
        elif verdict is Verdict.STALLED:
            self._abandon()
        elif verdict is Verdict.LINGERS:
            self._transport.abort()

    def abort(self) -> None:
        """Ends the connection at once."""
        self._transport.abort()
