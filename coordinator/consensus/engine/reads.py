"""Linearizable reads without a write: ReadIndex (Ongaro 2014, section 6.4).

A leader notes its commit index, asks all members whether they know a newer term, and once a quorum has said no, that
index contains all that was committed before the question. One question serves all who were waiting when it was asked.
A follower asks the leader for such an index. Then the read waits until the index is applied here.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from coordinator.consensus.codec import Message, Probe, ReadReply, ReadRequest
from coordinator.consensus.engine.core import Core
from coordinator.consensus.engine.durability import Send

_REQUESTS_MAX = 16
"""Questions of one follower that wait for the next probe; it asks one at a time, and again when it hears nothing."""

_SWEEP_MIN = 64
"""So many futures are kept without a look at how many of them are done."""

Waiter = asyncio.Future[bool]
_T = TypeVar("_T")


@dataclass
class _Probe:
    """One question to all members."""

    round: int
    index: int
    reads: list[Waiter]
    confirmations: list[asyncio.Future[int | None]]
    requests: list[tuple[int, int]]
    """(member, its round) of followers that asked."""
    answers: set[int] = field(default_factory=set)


@dataclass
class _Inquiry:
    """One question to the leader."""

    round: int
    leader: int
    asked_at: float
    reads: list[Waiter]


class _Gathering(Generic[_T]):
    """Futures that wait for the next question. Those given up are dropped before they outnumber the others."""

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[_T]] = []
        self._sweep_above = _SWEEP_MIN

    def __len__(self) -> int:
        return len(self._futures)

    def add(self, futures: Iterable[asyncio.Future[_T]]) -> None:
        self._futures += futures
        if len(self._futures) > self._sweep_above:
            self._futures = [future for future in self._futures if not future.done()]
            self._sweep_above = max(_SWEEP_MIN, 2 * len(self._futures))

    def take(self) -> list[asyncio.Future[_T]]:
        """Removes all and returns those that still wait."""
        futures, self._futures = self._futures, []
        self._sweep_above = _SWEEP_MIN
        return [future for future in futures if not future.done()]


class Reads:
    """Read barriers and confirmations of leadership."""

    def __init__(self, core: Core, send: Send, retry_s: float) -> None:
        """`retry_s`: an unanswered question is asked again after this time."""
        self._core = core
        self._send = send
        self._retry_s = retry_s
        # An answer to a question of this member's last run must not pass for one of this run. The numbers
        # have 62 bits on the wire; half of them are left to count in.
        self._rounds = itertools.count(secrets.randbits(61))
        self._reads: _Gathering[bool] = _Gathering()
        self._confirmations: _Gathering[int | None] = _Gathering()
        self._requests: list[tuple[int, int]] = []
        self._probe: _Probe | None = None
        self._probed_at = 0.0
        self._inquiry: _Inquiry | None = None
        self._ready: list[tuple[int, int, Waiter]] = []
        self._sweep_ready_above = _SWEEP_MIN
        self._order = itertools.count()

    def add_read(self) -> Waiter:
        """A future that becomes True when all that is committed now is applied here, False if the engine ends."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._reads.add([waiter])
        return waiter

    def add_confirmation(self) -> asyncio.Future[int | None]:
        """A future that becomes the term in which this leader was confirmed, or None when it leads no more."""
        waiter: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        if self._core.leading:
            self._confirmations.add([waiter])
        else:
            waiter.set_result(None)
        return waiter

    def drive(self) -> None:
        """Asks what is to be asked."""
        if self._core.leading:
            self._recall_inquiry()
            if self._probe is None:
                self._ask_members()
            elif self._core.now() - self._probed_at > self._retry_s:
                self._send_probe(self._probe)
        else:
            self._ask_leader()

    def release(self) -> None:
        """Ends the reads whose index is applied."""
        while self._ready and self._ready[0][0] <= self._core.applied_index:
            _resolve(heapq.heappop(self._ready)[2], True)

    def leadership_ends(self) -> None:
        """Reads go on with the next leader; confirmations can't."""
        probe, self._probe = self._probe, None
        if probe is not None:
            self._reads.add(probe.reads)
            self._confirmations.add(probe.confirmations)
        for confirmation in self._confirmations.take():
            _resolve(confirmation, None)
        self._requests = []

    def peer_lost(self, member: int) -> None:
        """A question to this member may be lost."""
        if self._inquiry is not None and self._inquiry.leader == member:
            self._recall_inquiry()

    def stop(self) -> None:
        """Ends everything that waits."""
        self.leadership_ends()
        self._recall_inquiry()
        for waiter in [*self._reads.take(), *(waiter for _, _, waiter in self._ready)]:
            _resolve(waiter, False)
        self._ready = []

    def take_request(self, member: int, round_: int) -> None:
        """A follower asks; a member that does not lead is silent, for the follower will learn who does."""
        if self._core.leading and self._requests.count((member, round_)) == 0:
            self._requests = [*self._requests[1 - _REQUESTS_MAX :], (member, round_)]

    def take_probe_ack(self, member: int, round_: int) -> None:
        probe = self._probe
        if probe is None or probe.round != round_:
            return
        probe.answers.add(member)
        self._finish_probe(probe)

    def take_reply(self, member: int, round_: int, index: int) -> None:
        inquiry = self._inquiry
        if inquiry is not None and (inquiry.leader, inquiry.round) == (member, round_):
            self._inquiry = None
            self._await_index(index, inquiry.reads)

    def _ask_members(self) -> None:
        if not self._core.term_opened:
            return
        reads, confirmations = self._reads.take(), self._confirmations.take()
        requests, self._requests = self._requests, []
        if not reads and not confirmations and not requests:
            return
        index = self._core.commit_index
        probe = _Probe(next(self._rounds), index, reads, confirmations, requests)
        self._probe = probe
        self._send_probe(probe)
        self._finish_probe(probe)

    def _send_probe(self, probe: _Probe) -> None:
        self._probed_at = self._core.now()
        message: Message = Probe(self._core.term, probe.round)
        for member in self._core.others:
            if member not in probe.answers:
                self._send(member, message)

    def _finish_probe(self, probe: _Probe) -> None:
        if not self._core.is_quorum(len(probe.answers)):
            return
        self._probe = None
        for confirmation in probe.confirmations:
            _resolve(confirmation, self._core.term)
        for member, round_ in probe.requests:
            self._send(member, ReadReply(round_, probe.index))
        self._await_index(probe.index, probe.reads)

    def _await_index(self, index: int, reads: Iterable[Waiter]) -> None:
        for waiter in reads:
            heapq.heappush(self._ready, (index, next(self._order), waiter))
        self.release()
        if len(self._ready) > self._sweep_ready_above:
            self._ready = [ready for ready in self._ready if not ready[2].done()]
            heapq.heapify(self._ready)
            self._sweep_ready_above = max(_SWEEP_MIN, 2 * len(self._ready))

    def _ask_leader(self) -> None:
        core, inquiry = self._core, self._inquiry
        if inquiry is not None and (
            inquiry.leader != core.leader or core.now() - inquiry.asked_at > self._retry_s
        ):
            self._recall_inquiry()
        if self._inquiry is not None or core.leader is None or core.leader == core.this:
            return
        reads = self._reads.take()
        if not reads:
            return
        inquiry = _Inquiry(next(self._rounds), core.leader, core.now(), reads)
        if self._send(inquiry.leader, ReadRequest(inquiry.round)):
            self._inquiry = inquiry
        else:
            self._reads.add(reads)

    def _recall_inquiry(self) -> None:
        """Those who wait for an answer of the leader will ask again."""
        if self._inquiry is not None:
            self._reads.add(self._inquiry.reads)
            self._inquiry = None


def _resolve(waiter: asyncio.Future[_T], result: _T) -> None:
    if not waiter.done():
        waiter.set_result(result)
