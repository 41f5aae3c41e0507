"""One client's connection: events of HTTP/2 on one side, calls on the other, a transport below."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from coordinator.config import MIB
from coordinator.errors import Status
from coordinator.wire.front.calls import (
    INTERRUPTED,
    LATE,
    NO_ENDING,
    OVERDUE,
    STOPPING,
    FrontCall,
    StreamCall,
    UnaryCall,
)
from coordinator.wire.front.heads import Head
from coordinator.wire.front.host import Host
from coordinator.wire.front.outlet import FLUSH_BYTES, Outlet
from coordinator.wire.front.peers import certificate_of, peer_of
from coordinator.wire.front.replies import (
    HEADERS,
    OK,
    OK_ALONE,
    OK_TRAILERS,
    Ending,
    Refusal,
    refusal,
)
from coordinator.wire.http2.events import Content, Ended, Headers, Reset, Trailers

NO_ERROR, CANCEL = 0x0, 0x8
"""Error codes of RFC 9113, section 7."""
SHARED_BYTES_MIN = 4 * 1024
"""Parts of messages from this size on are written as they are, never copied; smaller ones are cheaper joined."""
UNFINISHED_BYTES_MAX = 64 * MIB
"""Of all messages of a connection of which only a part has come."""
TOO_MANY = refusal(Status.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")
UNFINISHED = Ending(
    Status.RESOURCE_EXHAUSTED.value, "too many messages of this connection have begun to come"
)


class FrontConnection(Outlet):
    """Serves one connection from its first byte on."""

    def __init__(self, host: Host, transport: asyncio.Transport) -> None:
        super().__init__(host, transport)
        self.calls: dict[int, FrontCall] = {}
        self.unfinished = 0
        """Bytes of messages of which only a part has come."""
        self.unbegun = 0
        """Unary calls of which the message has not come yet."""
        self._late: dict[FrontCall, float] = {}
        """Those that were seen so before, and since when."""
        self._peer = ""

    # --- the transport ------------------------------------------------------------------------------

    def begin(self, data: bytes) -> None:
        """Begins with the bytes that were read already."""
        self.http2.begin()
        self.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._vigil.heard_at = now = self.host.loop.time()
        calls = self.calls
        for event in self.http2.receive(data, now):
            if isinstance(event, Content):
                call = calls.get(event.stream_id)
                if call is not None:
                    call.receive_data(event)
            elif isinstance(event, Headers):
                self._open(event, now)
            elif isinstance(event, Reset):
                call = calls.get(event.stream_id)
                if call is not None:
                    self._drop(call, Status.CANCELLED.value)
            elif isinstance(event, Trailers):
                call = calls.get(event.stream_id)
                if call is not None:
                    call.receive_end()
            elif isinstance(event, Ended):
                self.close()
                return
        if self._windowed:
            self._release_windowed()
        # Behind the calls that have just begun, so that their replies leave together with what else there is.
        self.host.loop.call_soon(self.mark)

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        for call in list(self.calls.values()):
            self._drop(call, Status.CANCELLED.value)
        self.host.forget(self)

    # --- calls begin --------------------------------------------------------------------------------

    @property
    def peer(self) -> str:
        """The client's address, in the form that gRPC gives it."""
        if not self._peer:
            self._peer = peer_of(self._transport)
        return self._peer

    @property
    def peer_certificate(self) -> Mapping[str, Any] | None:
        """As `ssl.SSLSocket.getpeercert` gives it; None: the client showed none."""
        return certificate_of(self._transport)

    def _open(self, event: Headers, now: float) -> None:
        host = self.host
        head = event.block.memo
        if head is None:
            head = event.block.memo = Head(event.block.fields, host.routes)
        assert type(head) is Head
        refused = host.stopping_refusal or head.refusal
        if refused is None and host.tallies.calls_open >= host.calls_max:
            refused = TOO_MANY
        route = head.route
        if refused is not None or route is None:
            self._refuse(event.stream_id, refused or TOO_MANY)
            return
        stream_id = event.stream_id
        call: FrontCall
        if route.unary:
            call = UnaryCall(self, stream_id, head, route)
            host.unary_open += 1
            self.unbegun += 1
        else:
            call = StreamCall(self, stream_id, head, route)
        self.calls[stream_id] = call
        host.tallies.calls_open += 1
        if head.timeout_s is not None:
            call.deadline = now + head.timeout_s
            if head.timeout_s <= 0:
                self.end_early(call, OVERDUE)
                return
            host.deadlines.add(call, call.deadline)
        if type(call) is StreamCall:
            call.begin()
        if event.ended:
            call.receive_end()

    def _refuse(self, stream_id: int, refused: Refusal) -> None:
        self.host.tallies.ended[refused.status] += 1
        self.http2.send_headers(stream_id, refused.block, True)
        self.mark()

    def hold(self, call: FrontCall, grown: int) -> bool:
        """Accounts for bytes of an unfinished message; returns False if that has ended the call."""
        self.unfinished += grown
        if self.unfinished > UNFINISHED_BYTES_MAX:
            self.end_early(call, UNFINISHED)
            return False
        return True

    # --- calls end ----------------------------------------------------------------------------------

    def _forget(self, call: FrontCall, status: int) -> None:
        """The call is over."""
        call.over = True
        host = self.host
        del self.calls[call.stream_id]
        host.tallies.calls_open -= 1
        host.tallies.ended[status] += 1
        if call.deadline is not None:
            host.deadlines.remove(call)
        if call.unary:
            host.unary_open -= 1
            if call.task is None:
                self.unbegun -= 1
            if host.stopping_refusal is not None:
                host.last_call = host.loop.time()

    def reply(self, call: UnaryCall, payload: bytes) -> None:
        """Ends a call well."""
        if call.over:
            return
        size = len(payload)
        if size > self.host.send_max:
            self.end(call, self._too_large(size))
            return
        self._forget(call, OK)
        stream_id = call.stream_id
        prefix = b"\0" + size.to_bytes(4, "big")
        if size < SHARED_BYTES_MIN:
            self.http2.send_reply(stream_id, HEADERS, prefix + payload, OK_TRAILERS)
        else:
            self.http2.send_headers(stream_id, HEADERS)
            self.http2.send_data(stream_id, prefix)
            self.http2.send_data(stream_id, payload)
            self.http2.send_trailers(stream_id, OK_TRAILERS)
        self._unflushed += size
        if self._unflushed > FLUSH_BYTES:
            self.flush()
        self.mark()

    def end(self, call: FrontCall, ending: Ending) -> None:
        """Ends a call with a status."""
        if call.over:
            return
        call.forget()
        self._forget(call, ending.status)
        stream_id = call.stream_id
        if type(call) is StreamCall and call.begun:
            after = OK_TRAILERS if ending is NO_ENDING else ending.after
            self.http2.send_trailers(stream_id, after)
        else:
            alone = OK_ALONE if ending is NO_ENDING else ending.alone
            self.http2.send_headers(stream_id, alone, True)
        self.mark()

    def end_early(self, call: FrontCall, ending: Ending) -> None:
        """Ends a call with a status, whatever its method is doing."""
        if ending is OVERDUE and self.http2.unsent(call.stream_id):
            # Its client takes nothing: neither would it take the status, behind all that.
            self.http2.reset(call.stream_id, CANCEL)
            self._drop(call, ending.status)
            self.mark()
            return
        self.end(call, ending)
        self._leave(call)

    def _drop(self, call: FrontCall, status: int) -> None:
        """Nobody waits for the call any more."""
        call.forget()
        self._forget(call, status)
        self._leave(call)

    def _leave(self, call: FrontCall) -> None:
        if call.task is not None:
            self.host.leave(call.task)
        if type(call) is StreamCall:
            self.wait_no_more(call)

    def _too_large(self, size: int) -> Ending:
        words = f"SERVER: Sent message larger than max ({size} vs. {self.host.send_max})"
        return Ending(Status.RESOURCE_EXHAUSTED.value, words)

    def send(self, call: StreamCall, parts: Sequence[bytes]) -> bool:
        """Sends a message, given in parts; returns whether it is time to let others have a turn."""
        stream_id, http2 = call.stream_id, self.http2
        size = sum(map(len, parts))
        if size > self.host.send_max:
            self.end_early(call, self._too_large(size))
            return False
        if not call.begun:
            call.begun = True
            http2.send_headers(stream_id, HEADERS)
        small = [b"\0" + size.to_bytes(4, "big")]
        for part in parts:
            if len(part) < SHARED_BYTES_MIN:
                small.append(part)
                continue
            http2.send_data(stream_id, b"".join(small))
            http2.send_data(stream_id, part)
            small.clear()
        if small:
            http2.send_data(stream_id, b"".join(small))
        self._unflushed += size
        full = self._unflushed > FLUSH_BYTES
        if full:
            self.flush()
        self.mark()
        return full

    # --- how it ends --------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """Looks, now and then, whether the client is still there, reads, and says what it began to say."""
        super().check(now)
        if not self.unbegun:
            self._late.clear()
            return
        unbegun = [call for call in self.calls.values() if call.unary and call.task is None]
        self._late = {call: self._late.get(call, now) for call in unbegun}
        for call, since in list(self._late.items()):
            if now - since > self.host.timing.client_stall_ms / 1000:
                self.end_early(call, LATE)

    def shut_down(self) -> None:
        """Tells the client to go elsewhere with new calls, and ends the streams that do not end by themselves."""
        self.http2.shut_down()
        self.mark()
        for call in list(self.calls.values()):
            if not call.unary and not call.route.drains:
                self.end_early(call, STOPPING)

    def end_calls(self) -> None:
        """Ends all calls."""
        for call in list(self.calls.values()):
            self.end_early(call, INTERRUPTED)

    def finish(self, code: int = NO_ERROR, reason: bytes = b"") -> None:
        """Ends the connection, with a word why."""
        self.http2.finish(code, reason)
        self.close()

    def close(self) -> None:
        """Writes what is left, and closes. What still comes is read, or the client might lose what it did not read."""
        if self._closing:
            return
        self._write()
        self._closing = True
        for call in list(self.calls.values()):
            self._drop(call, Status.CANCELLED.value)
        self._read_again()
        try:
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()
        except OSError:
            # The client has closed it meanwhile.
            self._transport.abort()
