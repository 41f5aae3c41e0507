"""The small interface between handlers of remote calls and whoever hosts them.

A handler is an async function of one `Call` (and its request) or of one `Stream`. It returns or
sends protobuf messages and raises `errors.RequestError` to end a call with a status. It never sees
a server library.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from coordinator.errors import RequestError, Status

RequestT = TypeVar("RequestT", covariant=True)
ResponseT = TypeVar("ResponseT", contravariant=True)


class Message(Protocol):
    """What the host needs of a protobuf message."""

    def SerializeToString(self) -> bytes: ...

    def ByteSize(self) -> int: ...


class Call(Protocol):
    """One call of one client."""

    @property
    def peer(self) -> str:
        """The client's address, for logs."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the client sent along; keys in lower case, binary entries left out."""
        ...

    @property
    def peer_certificate(self) -> Mapping[str, Any] | None:
        """What the client's certificate says, as `ssl.SSLSocket.getpeercert` puts it; None: it showed none."""
        ...

    @property
    def deadline(self) -> float | None:
        """When the client stops waiting, as event loop time in seconds; None: it set no deadline."""
        ...


class Stream(Call, Protocol[RequestT, ResponseT]):
    """One bidirectional stream of one client."""

    async def receive(self) -> RequestT | None:
        """Returns the client's next message; None when it has sent its last."""
        ...

    async def send(self, response: ResponseT) -> None:
        """Sends a message; waits while the client is slow to read."""
        ...


class DrainingStream(Stream[RequestT, ResponseT], Protocol[RequestT, ResponseT]):
    """A stream that ends by itself, soon after its host has said that it stops."""

    async def stopping(self) -> None:
        """Returns when the host begins to stop."""
        ...


@dataclass(frozen=True)
class Unary:
    """A method with one request and one response."""

    name: str
    request: type[Any]
    response: type[Any]
    call: Callable[[Call, Any], Awaitable[Any]]


@dataclass(frozen=True)
class Bidi:
    """A method with a stream of requests and a stream of responses."""

    name: str
    request: type[Any]
    response: type[Any]
    call: Callable[[Any], Awaitable[None]]
    """Takes a `Stream`."""
    drains: bool = False
    """Whether it takes a `DrainingStream`: all others are ended when the host stops."""


@dataclass(frozen=True)
class Service:
    """A named set of methods."""

    name: str
    """As it stands in the path of a call."""
    methods: tuple[Unary | Bidi, ...]
    described: bool = True
    """Whether `name` is that of a protobuf service which this process knows, so that reflection can tell of it."""


def deadline_of(call: Call, timeout_s_default: float) -> float:
    """Returns the loop time at which the call should have ended, with a default for clients that set none.

    It lies a little before the client's own deadline, so that the client learns why: whether a write
    was surely not applied, or may have been.
    """
    now = asyncio.get_running_loop().time()
    if call.deadline is None:
        return now + timeout_s_default
    return call.deadline - min(0.1, (call.deadline - now) / 10)


async def send_in_time(
    stream: Stream[Any, Any], message: object, what: str, stall_s: float
) -> None:
    """Sends a message to a client that must take it in time. Raises RequestError if it does not."""
    try:
        async with asyncio.timeout(stall_s):
            await stream.send(message)
    except TimeoutError:
        raise RequestError(
            Status.ABORTED,
            "CLIENT_STALLED",
            f"the client took no piece of the {what} for {stall_s:g} seconds",
        ) from None


def stopping() -> RequestError:
    """Returns the error for a call that comes to a member that stops."""
    return RequestError(
        Status.UNAVAILABLE, "STOPPING", "this member is stopping", {"applied": "no"}
    )


def invalid(field: str, message: str) -> RequestError:
    """Returns the error for a request whose `field` can't be served as it is."""
    return RequestError(
        Status.INVALID_ARGUMENT, "INVALID_ARGUMENT", f"{field}: {message}", {"field": field}
    )


def too_large(what: str, size: int, size_max: int) -> RequestError:
    """Returns the error for something a client sent that is beyond a limit."""
    return RequestError(
        Status.RESOURCE_EXHAUSTED,
        "LIMIT_EXCEEDED",
        f"{what} is {size}, the limit is {size_max}",
        {"limit": str(size_max), "applied": "no"},
    )
