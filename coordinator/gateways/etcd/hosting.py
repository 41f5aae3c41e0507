"""What every method of etcd's API shares: its errors, and the wish for a leader."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from coordinator.errors import RequestError, Status
from coordinator.gateways.etcd import errors
from coordinator.node.interface import Node
from coordinator.rpc import Bidi, Call, Service, Stream, Unary

REQUIRE_LEADER = "hasleader"
"""Metadata of a call that had rather fail than wait for a leader."""

CHECK_S = 0.25
ELECTIONS_LOST = 3
"""A stream whose client wants a leader ends when there was none for as long as so many elections may take."""


def _word(status: Status) -> str:
    """Returns how Go's gRPC library calls a status."""
    return "".join(word.capitalize() for word in status.name.split("_")).replace(
        "Cancelled", "Canceled"
    )


class Host:
    """Gives services what all methods share, and ends streams that want a leader when there is none."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._streams: dict[asyncio.Task[Any], None] = {}
        self._ended: set[asyncio.Task[Any]] = set()
        self.handled: Counter[tuple[str, str, str, str]] = Counter()
        """Calls that ended, by kind, service, method and the name of their status."""
        self._lost_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def host(self, service: Service) -> Service:
        """Returns a service whose methods end with etcd's errors, and that heeds the wish for a leader."""
        methods = tuple(
            Unary(m.name, m.request, m.response, self._unary(service.name, m))
            if isinstance(m, Unary)
            else Bidi(m.name, m.request, m.response, self._bidi(service.name, m))
            for m in service.methods
        )
        # The messages are etcd's, but under a name of our own, which means nothing to clients.
        return Service(service.name, methods, described=False)

    @property
    def _has_leader(self) -> bool:
        return self._node.consensus_status.leader is not None

    def _wants_leader(self, call: Call) -> bool:
        """Returns whether the client wants one. Raises EtcdError if it does, and there is none."""
        wants = call.metadata.get(REQUIRE_LEADER) == "true"
        if wants and not self._has_leader:
            raise errors.no_leader()
        return wants

    @contextlib.contextmanager
    def _counted(self, kind: str, service: str, method: str) -> Iterator[None]:
        """Counts a call by how it ends, and gives its error etcd's words."""
        code = "OK"
        try:
            yield
        except RequestError as error:
            translated = errors.translate(error)
            code = _word(translated.status)
            raise translated from None
        except asyncio.CancelledError:
            code = _word(Status.CANCELLED)
            raise
        except BaseException:
            code = _word(Status.INTERNAL)
            raise
        finally:
            self.handled[kind, service, method, code] += 1

    def _unary(self, service: str, method: Unary) -> Callable[[Call, Any], Awaitable[Any]]:
        async def run(call: Call, request: Any) -> Any:
            with self._counted("unary", service, method.name):
                self._wants_leader(call)
                return await method.call(call, request)

        return run

    def _bidi(self, service: str, method: Bidi) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
        async def run(stream: Stream[Any, Any]) -> None:
            with self._counted("bidi_stream", service, method.name):
                if not self._wants_leader(stream):
                    await method.call(stream)
                    return
                with self._ended_without_leader():
                    await method.call(stream)

        return run

    @contextlib.contextmanager
    def _ended_without_leader(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._streams[task] = None
        if self._timer is None:
            self._check()
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            task.uncancel()
            raise errors.no_leader() from None
        finally:
            del self._streams[task]
            self._ended.discard(task)

    def _check(self) -> None:
        """Looks whether there is a leader, as long as any stream wants one."""
        self._timer = None
        if not self._streams:
            self._lost_at = None
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(CHECK_S, self._check)
        if self._has_leader:
            self._lost_at = None
            return
        if self._lost_at is None:
            self._lost_at = loop.time()
        patience_s = ELECTIONS_LOST * self._node.timing.election_timeout_ms_max / 1000
        if loop.time() - self._lost_at >= patience_s:
            for task in self._streams.keys() - self._ended:
                self._ended.add(task)
                task.cancel()
