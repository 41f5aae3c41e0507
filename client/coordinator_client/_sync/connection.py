# Generated from coordinator_client/_async/connection.py by scripts/unasync.py; edit that file instead.
"""Which node is spoken to, and what happens when it can't serve."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from google.protobuf.message import Message

from coordinator_client import _io_sync as io
from coordinator_client import calls, errors, validation
from coordinator_client._sync.keepalive import KeepAlive
from coordinator_client._sync.lanes import Lane, Lanes
from coordinator_client.calls import Method, Reply, Request
from coordinator_client.failures import (
    DEFECT_ATTEMPTS_MAX,
    Backoff,
    CallFailed,
    Decision,
    attempt_timeout_s,
    decide,
    error_of,
)
from coordinator_client.lifetime import Lifetime

LOOK_TIMEOUT_S = 0.5
"""How long a node may take to say who leads."""
CLOSE_TIMEOUT_S = 1.0
LEADER_PAUSE_S = 2.0
"""So long after an endpoint did not serve, calls do not go back to it because it is the leader's."""


class Connection:
    """Sticks to one endpoint as long as it serves, and moves on to the next when it does not.

    Calls go to the leader, once a node has told that it is one of the endpoints; streams stay where they are.
    """

    def __init__(self, endpoints: str | Sequence[str], timeout_s: float, shuffle: bool) -> None:
        self.endpoints = calls.parse_endpoints(endpoints)
        self.timeout_s = validation.timeout(timeout_s)
        self._current = random.randrange(len(self.endpoints)) if shuffle else 0
        self._leader: str | None = None
        """The endpoint of the leader, where calls are answered soonest; None: not known, or not among the endpoints."""
        self._avoided: dict[str, float] = {}
        """Until when endpoints that did not serve are not gone back to for being the leader's."""
        self._channels: dict[str, io.Channel] = {}
        self._lanes: dict[str, Lanes] = {}
        """The streams of watches that have room, by their endpoint."""
        self._keep_alives: list[KeepAlive] = []
        self._looking = False
        """Whether another node is asked who leads."""
        self._guard = io.Guard()
        self._closed = io.Flag()

    @property
    def endpoint(self) -> str:
        """The endpoint that the next call goes to."""
        leader = self._leader
        if leader is not None and not self._avoids(leader):
            return leader
        return self.endpoints[self._current]

    def _avoids(self, endpoint: str) -> bool:
        until_s = self._avoided.get(endpoint)
        return until_s is not None and until_s > io.now_s()

    @property
    def stream_endpoint(self) -> str:
        """The endpoint that the next stream is opened on, which need not be the leader's: so streams are spread."""
        return self.endpoints[self._current]

    def note_leader(self, address: str) -> None:
        """A node told where the leader is: calls go there from now on, if it is one of the endpoints."""
        self._leader = address if address in self.endpoints else None

    def _note_silence(self, endpoint: str) -> None:
        """A node answers nothing: it may stand still, and another one lead by now."""
        with self._guard:
            if self._looking or len(self.endpoints) == 1 or self._closed.is_set():
                return
            self._looking = True

        def look() -> None:
            try:
                self._look_for_leader(endpoint)
            finally:
                self._looking = False

        io.Worker(look, "coordinator-look-for-leader")

    def _look_for_leader(self, silent: str) -> None:
        """Asks other nodes; if another one leads, what waits for the silent one is made again there."""
        at = self.endpoints.index(silent) if silent in self.endpoints else 0
        for endpoint in (*self.endpoints[at + 1 :], *self.endpoints[:at]):
            try:
                leader = self._channel(endpoint).find_leader(LOOK_TIMEOUT_S)
                if leader not in ("", silent) and leader in self.endpoints:
                    self.note_leader(leader)
                    self._channel(silent).give_up()
            except CallFailed:
                continue
            except errors.Closed:
                pass
            return

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def leave(self, endpoint: str) -> None:
        """The endpoint did not serve: if it is still the one in use, the next one is from now on."""
        with self._guard:
            self._avoided[endpoint] = io.now_s() + LEADER_PAUSE_S
            if self.endpoints[self._current] == endpoint:
                self._current = (self._current + 1) % len(self.endpoints)

    def check_open(self) -> None:
        """Raises Closed after `close`."""
        if self._closed.is_set():
            raise errors.Closed("the client is closed")

    def check_size(self, request: Message) -> None:
        """Raises LimitExceeded for a request that no node would take."""
        if request.ByteSize() > calls.MESSAGE_SIZE_BYTES_MAX:
            raise errors.LimitExceeded(
                f"the request is larger than {calls.MESSAGE_SIZE_BYTES_MAX} bytes"
            )

    def wait_closed(self, timeout_s: float) -> bool:
        """Waits until the client is closed, at most `timeout_s` seconds; returns whether it is."""
        return self._closed.wait(timeout_s)

    def _channel(self, endpoint: str) -> io.Channel:
        self.check_open()
        channel = self._channels.get(endpoint)
        if channel is not None:
            return channel
        with self._guard:
            channel = self._channels.get(endpoint)
            if channel is None:
                channel = self._channels[endpoint] = io.Channel(
                    endpoint, self.note_leader, self._note_silence
                )
            return channel

    def call(
        self,
        method: Method[Request, Reply],
        request: Request,
        *,
        safe: bool,
        timeout_s: float | None = None,
    ) -> Reply:
        """Makes a unary call on whichever endpoint serves it.

        `safe`: the call may be applied twice without harm, so it is sent again whenever its answer is lost. Any other
        call is sent again only if it was surely not applied. Raises Unavailable, DeadlineExceeded, OutcomeUnknown,
        or what the cluster's refusal means.
        """
        reply, _ = self.timed_call(method, request, safe=safe, timeout_s=timeout_s)
        return reply

    def timed_call(
        self,
        method: Method[Request, Reply],
        request: Request,
        *,
        safe: bool,
        timeout_s: float | None = None,
    ) -> tuple[Reply, float]:
        """Like `call`; also returns when the request that was answered went out."""
        timeout_s = self.timeout_s if timeout_s is None else validation.timeout(timeout_s)
        self.check_size(request)
        deadline_s = io.now_s() + timeout_s
        backoff = Backoff(len(self.endpoints))
        attempts = 0
        while True:
            sent_s = io.now_s()
            endpoint = self.endpoint
            share_s = attempt_timeout_s(
                deadline_s - sent_s, timeout_s, safe=safe, endpoint_count=len(self.endpoints)
            )
            try:
                return self.attempt(endpoint, method, request, share_s, safe=safe), sent_s
            except CallFailed as failed:
                failure = failed.failure
            if self.closed and safe:
                raise errors.Closed("the client was closed during the call")
            attempts += 1
            decision = decide(failure, safe=safe)
            if decision is not Decision.RAISE:
                self.leave(endpoint)
            if decision in (Decision.RAISE, Decision.LEAVE) or (
                decision is Decision.RETRY_FEW and attempts >= DEFECT_ATTEMPTS_MAX
            ):
                raise error_of(failure, safe=safe)
            pause_s = backoff.next_s()
            if io.now_s() + pause_s >= deadline_s or self._closed.wait(pause_s):
                raise error_of(failure, safe=safe)

    def attempt(
        self,
        endpoint: str,
        method: Method[Request, Reply],
        request: Request,
        timeout_s: float,
        *,
        safe: bool = False,
    ) -> Reply:
        """Makes one attempt of a unary call on one endpoint; raises CallFailed, and Closed after `close`.

        `safe`: it may be made again elsewhere, and fails early if this node answers nothing and another one leads.
        """
        return self._channel(endpoint).call(method, request, timeout_s, safe)

    def call_endpoint(
        self,
        endpoint: str,
        method: Method[Request, Reply],
        request: Request,
        timeout_s: float | None = None,
    ) -> Reply:
        """Makes one attempt of a read on one endpoint."""
        timeout_s = self.timeout_s if timeout_s is None else validation.timeout(timeout_s)
        try:
            return self.attempt(endpoint, method, request, timeout_s)
        except CallFailed as failed:
            raise error_of(failed.failure, safe=True) from failed

    def pause(self, seconds: float) -> None:
        """Lets some time pass. Raises Closed when the client is closed meanwhile."""
        self._closed.wait(seconds)
        self.check_open()

    def open_stream(self, method: Method[Request, Reply]) -> io.Stream[Request, Reply]:
        """Opens a stream on the endpoint in use."""
        return self._channel(self.stream_endpoint).open_stream(method)

    def open_watch(self) -> Lane:
        """Returns a lane for a watch on the endpoint in use, beside those that are there already."""
        endpoint = self.stream_endpoint
        channel = self._channel(endpoint)
        with self._guard:
            lanes = self._lanes.get(endpoint)
            lane = None if lanes is None else lanes.open()
            while lane is None:
                lanes = self._lanes[endpoint] = Lanes(channel.open_stream(calls.WATCH))
                lane = lanes.open()
            return lane

    def keep_alive(
        self, session_id: int, life: Lifetime, on_lost: Callable[[str], None], tied: bool
    ) -> KeepAlive:
        """Keeps a session alive, with others of the program, until it is removed there; see `KeepAlive.add`."""
        with self._guard:
            for keep_alive in list(self._keep_alives):
                if keep_alive.add(session_id, life, on_lost, tied):
                    return keep_alive
                if keep_alive.ended:
                    self._keep_alives.remove(keep_alive)
            keep_alive = KeepAlive(self)
            self._keep_alives.append(keep_alive)
            keep_alive.add(session_id, life, on_lost, tied)
            return keep_alive

    def close(self) -> None:
        """Ends all connections. What waits for an answer gets Closed, or OutcomeUnknown."""
        self._closed.set()
        with self._guard:
            channels = list(self._channels.values())
            keep_alives = list(self._keep_alives)
        for keep_alive in keep_alives:
            keep_alive.join(CLOSE_TIMEOUT_S)
        for channel in channels:
            channel.close()
