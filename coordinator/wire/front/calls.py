"""Calls under way, as the methods that serve them see them; see `rpc.Call` and `rpc.Stream`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from coordinator.errors import RequestError, Status
from coordinator.pieces import Pieced
from coordinator.rpc import Message, stopping
from coordinator.wire.front.heads import Head, Route
from coordinator.wire.front.messages import PREFIX_BYTES, Assembly, BrokenMessages
from coordinator.wire.front.replies import Ending, error_ending
from coordinator.wire.http2.events import Content
from coordinator.wire.terms import INTERNAL_WORDS, only_request_error

if TYPE_CHECKING:
    from coordinator.wire.front.connection import FrontConnection

INTERNAL = Ending(Status.INTERNAL.value, INTERNAL_WORDS)
OVERDUE = Ending(Status.DEADLINE_EXCEEDED.value, "Deadline Exceeded")
NO_MESSAGE = Ending(Status.UNIMPLEMENTED.value, "a call of this method has one message")
LATE = Ending(Status.DEADLINE_EXCEEDED.value, "the message of the call did not come in time")
CANCELLED = Ending(Status.CANCELLED.value, "the call was cancelled")
INTERRUPTED = error_ending(
    RequestError(Status.UNAVAILABLE, "STOPPED", "this member stopped before the call ended")
)
"""By the end of this server: nobody knows how far it came."""
STOPPING = error_ending(stopping())
NO_ENDING = Ending(0)
log = structlog.get_logger()


class FrontCall:
    """What a call with one request and one with many have in common."""

    __slots__ = (
        "_assembly",
        "connection",
        "deadline",
        "ended",
        "head",
        "over",
        "route",
        "slot",
        "stream_id",
        "task",
    )

    unary: bool

    def __init__(
        self, connection: FrontConnection, stream_id: int, head: Head, route: Route
    ) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self.head = head
        self.route = route
        self.deadline: float | None = None
        """When the client stops waiting, as loop time."""
        self.slot = 0
        self.task: asyncio.Task[None] | None = None
        self.ended = False
        """Whether the client has said its last."""
        self.over = False
        """Whether the reply has ended, or nobody waits for it."""
        self._assembly: Assembly | None = None

    @property
    def peer(self) -> str:
        return self.connection.peer

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.head.metadata

    @property
    def peer_certificate(self) -> Mapping[str, Any] | None:
        return self.connection.peer_certificate

    def expire(self) -> None:
        """Ends the call, as its deadline has passed."""
        self.connection.end_early(self, OVERDUE)

    def feed(self, payload: bytes) -> bool:
        """Takes a piece of what the client says; returns False if that has ended the call."""
        assembly = self._assembly
        if assembly is None:
            host = self.connection.host
            assembly = self._assembly = Assembly(host.receive_max, self.head.window_bits)
        before = assembly.unfinished
        try:
            assembly.feed(payload, self.take)
        except BrokenMessages as broken:
            self.connection.unfinished -= before
            self._assembly = None
            self.connection.end_early(self, Ending(broken.status.value, broken.words))
            return False
        return self.connection.hold(self, assembly.unfinished - before)

    def forget(self) -> None:
        """Lets go of what never became a message."""
        if self._assembly is not None:
            self.connection.unfinished -= self._assembly.unfinished
            self._assembly = None

    def receive_data(self, event: Content) -> None:
        """Takes a piece of what the client says."""
        raise NotImplementedError

    def receive_end(self) -> None:
        """The client has said its last, in trailers or in the head."""
        raise NotImplementedError

    def take(self, message: bytes) -> None:
        """Takes a message of the client."""
        raise NotImplementedError


class UnaryCall(FrontCall):
    """A call with one request and one response."""

    __slots__ = ()
    unary = True

    def receive_data(self, event: Content) -> None:
        """Takes a piece of what the client says: mostly the whole message, and the end."""
        payload = event.payload
        if event.ended:
            self.ended = True
        if self.task is None:
            if (
                self._assembly is None
                and len(payload) >= PREFIX_BYTES
                and not payload[0]
                and int.from_bytes(payload[1:PREFIX_BYTES], "big") == len(payload) - PREFIX_BYTES
                and len(payload) <= self.connection.host.receive_max
            ):
                self.take(payload[PREFIX_BYTES:])
            elif payload and not self.feed(payload):
                return
            if self.ended and self.task is None:
                self.connection.end_early(self, NO_MESSAGE)
                return
        if event.credit:
            self.connection.http2.consume(self.stream_id, event.credit)

    def receive_end(self) -> None:
        """The client has said its last, in trailers or in the head."""
        self.ended = True
        if self.task is None:
            self.connection.end_early(self, NO_MESSAGE)

    def take(self, message: bytes) -> None:
        """Begins to serve the first message; what comes after it is passed over."""
        if self.task is None and not self.over:
            self.connection.unbegun -= 1
            self.task = self.connection.host.loop.create_task(self._run(message))

    async def _run(self, message: bytes) -> None:
        connection = self.connection
        try:
            try:
                request = self.route.parse(message)
            except Exception as error:
                connection.end(
                    self, Ending(Status.UNKNOWN.value, f"Unexpected {type(error)}: {error}")
                )
                return
            response = await self.route.call(self, request)
            connection.reply(self, response.SerializeToString())
        except RequestError as error:
            connection.end(self, error_ending(error))
        except asyncio.CancelledError:
            # If it is not over, whoever serves it cancelled itself.
            connection.end(self, CANCELLED)
        except Exception:
            if not self.over:
                log.exception("a handler failed", method=self.route.name)
            connection.end(self, INTERNAL)


class StreamCall(FrontCall):
    """A call with a stream of requests and one of responses."""

    __slots__ = ("_arrival", "_messages", "_owed", "begun", "room")
    unary = False

    def __init__(
        self, connection: FrontConnection, stream_id: int, head: Head, route: Route
    ) -> None:
        super().__init__(connection, stream_id, head, route)
        self._messages: deque[bytes] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._owed = 0
        """Bytes that came and were not given back to the client's windows yet."""
        self.begun = False
        """Whether headers were sent."""
        self.room: asyncio.Event | None = None
        """Set when something may be sent again, while somebody waits for that."""

    def begin(self) -> None:
        """Begins to serve the call."""
        self.task = self.connection.host.loop.create_task(self._run())

    # --- what the client says -----------------------------------------------------------------------

    def receive_data(self, event: Content) -> None:
        """Takes a piece of what the client says."""
        if event.ended:
            self.ended = True
        self._owed += event.credit
        if event.payload and not self.feed(event.payload):
            return
        if not self._messages:
            # Nothing that a method could take yet: the rest of the message must have room to come.
            self._give_back()
        if self._messages or self.ended:
            self._wake()

    def receive_end(self) -> None:
        """The client has said its last, in trailers or in the head."""
        self.ended = True
        self._wake()

    def take(self, message: bytes) -> None:
        """Keeps a message until it is asked for."""
        self._messages.append(message)

    def _give_back(self) -> None:
        owed, self._owed = self._owed, 0
        if owed:
            self.connection.http2.consume(self.stream_id, owed)
            self.connection.mark()

    def _wake(self) -> None:
        arrival = self._arrival
        if arrival is not None and not arrival.done():
            arrival.set_result(None)

    async def receive(self) -> Any:
        """Returns the client's next message; None when it has sent its last. Raises DecodeError."""
        while not self._messages:
            if self.ended:
                return None
            self._arrival = self.connection.host.loop.create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None
        message = self._messages.popleft()
        if not self._messages:
            self._give_back()
        return self.route.parse(message)

    def forget(self) -> None:
        """Lets go of what nobody will take any more."""
        super().forget()
        self._messages.clear()
        self._give_back()

    # --- what it is told ----------------------------------------------------------------------------

    async def send(self, response: Message) -> None:
        """Sends a message; waits first while the client is slow to read. Raises RequestError once the call is over."""
        connection = self.connection
        while not self.over and connection.is_full(self):
            await connection.room_for(self)
        if self.over:
            raise RequestError(Status.CANCELLED, "CANCELLED", "the call has ended")
        parts: Sequence[bytes] = (
            response.parts() if isinstance(response, Pieced) else (response.SerializeToString(),)
        )
        if connection.send(self, parts):
            await asyncio.sleep(0)

    async def stopping(self) -> None:
        """Returns when the server begins to stop."""
        await self.connection.host.stopping.wait()

    async def _run(self) -> None:
        connection = self.connection
        try:
            await self.route.call(self)
            connection.end(self, NO_ENDING)
        except RequestError as error:
            connection.end(self, error_ending(error))
        except asyncio.CancelledError:
            connection.end(self, CANCELLED)
        except BaseExceptionGroup as group:
            expected = only_request_error(group)
            if expected is not None:
                connection.end(self, error_ending(expected))
            else:
                self._fail()
        except Exception:
            self._fail()

    def _fail(self) -> None:
        if not self.over:
            log.exception("a handler failed", method=self.route.name)
        self.connection.end(self, INTERNAL)
