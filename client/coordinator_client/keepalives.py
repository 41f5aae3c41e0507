"""When which sessions are to be kept alive over one stream, and what an answer means. Does no input or output.

With a TTL of 9 s a keep-alive is due 3 s after the last one. When one session's is due, those of all others whose last
one is 1.5 s old go along: so the sessions of a program soon travel together, however they were opened. What ties a
session to its stream takes none along, so that opening many costs no look at all of them each time.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence

from coordinator_client.lifetime import Lifetime
from coordinator_client.pb import session_pb2

ALONG_SHARE = 1 / 6
"""Of the TTL: a keep-alive that is due within that goes along with one that is due now."""


class _Kept:
    """One session."""

    __slots__ = ("asked", "due_s", "life", "loose", "queued_s")

    def __init__(self, life: Lifetime, due_s: float, loose: bool) -> None:
        self.life = life
        self.due_s = due_s
        self.asked = False
        self.loose = loose
        """Whether it is still to be tied to a stream, at once and alone."""
        self.queued_s = math.inf
        """When it is looked at next."""

    @property
    def next_s(self) -> float:
        """When there is something to do for it."""
        return self.life.ends_s if self.asked else min(self.due_s, self.life.ends_s)


class _Request:
    """A message that was not answered yet."""

    __slots__ = ("deadline_s", "ids", "sent_s")

    def __init__(self, ids: list[int], sent_s: float, deadline_s: float) -> None:
        self.ids = ids
        self.sent_s = sent_s
        self.deadline_s = deadline_s


class KeepAliveSchedule:
    """The sessions of one stream. All times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._kept: dict[int, _Kept] = {}
        self._asked: deque[_Request] = deque()
        self._times: list[tuple[float, int]] = []
        """A heap. The entry of a session that counts is the one for its `queued_s`; others are left-overs."""
        self._ripe: dict[int, _Kept] = {}
        """Sessions whose time has come."""

    def __len__(self) -> int:
        return len(self._kept)

    def ids(self) -> list[int]:
        """Returns the sessions."""
        return list(self._kept)

    def add(self, session_id: int, life: Lifetime, now_s: float, tied: bool = True) -> bool:
        """Takes a session; returns whether that is what there is to do next.

        `tied`: whether its end hangs on that of its stream too: its first keep-alive, which ties it to one, is due now.
        """
        before_s = self._next_s()
        due_s = now_s if tied else now_s + life.until_next_s(now_s)
        kept = self._kept[session_id] = _Kept(life, due_s, tied)
        self._queue(session_id, kept)
        return kept.next_s < before_s

    def remove(self, session_id: int) -> None:
        """Forgets a session. Idempotent."""
        self._kept.pop(session_id, None)
        self._ripe.pop(session_id, None)

    def _queue(self, session_id: int, kept: _Kept) -> None:
        next_s = kept.next_s
        if next_s != kept.queued_s:
            kept.queued_s = next_s
            heapq.heappush(self._times, (next_s, session_id))

    def _next_s(self) -> float:
        """Returns when a session is to be looked at next."""
        times = self._times
        while times:
            at_s, session_id = times[0]
            kept = self._kept.get(session_id)
            if kept is not None and kept.queued_s == at_s:
                return at_s
            heapq.heappop(times)
        return math.inf

    def _ripen(self, now_s: float) -> None:
        while self._next_s() <= now_s:
            _, session_id = heapq.heappop(self._times)
            kept = self._kept[session_id]
            kept.queued_s = math.inf
            self._ripe[session_id] = kept

    def _unripe(self, session_id: int, kept: _Kept) -> None:
        """Its time was seen to."""
        self._ripe.pop(session_id, None)
        self._queue(session_id, kept)

    def due(self, now_s: float) -> list[int]:
        """Returns the sessions to send a keep-alive of now, as one message; empty: none. They count as sent."""
        self._ripen(now_s)
        waiting = []
        for session_id, kept in list(self._ripe.items()):
            if not kept.asked and kept.due_s <= now_s:
                waiting.append((session_id, kept))
            elif kept.life.ends_s > now_s:
                self._unripe(session_id, kept)
        if not all(kept.loose for _, kept in waiting):
            waiting = [
                (i, kept)
                for i, kept in self._kept.items()
                if not kept.asked and kept.due_s <= now_s + kept.life.ttl_s * ALONG_SHARE
            ]
        if not waiting:
            return []
        patience_s = math.inf
        for session_id, kept in waiting:
            life = kept.life
            kept.asked, kept.loose = True, False
            life.sent(now_s)
            patience_s = min(patience_s, life.answer_timeout_s, life.remaining_s(now_s))
            self._unripe(session_id, kept)
        ids = [session_id for session_id, _ in waiting]
        self._asked.append(_Request(ids, now_s, now_s + patience_s))
        return ids

    def answered(
        self, results: Sequence[session_pb2.SessionKeepAliveResponse.Result], now_s: float
    ) -> list[int]:
        """Takes the answer to the oldest message that has none; returns the sessions that are no more."""
        if not self._asked:
            return []
        request = self._asked.popleft()
        told = {result.id: result for result in results}
        over = []
        for session_id in request.ids:
            kept = self._kept.get(session_id)
            if kept is None:
                continue
            kept.asked = False
            result = told.get(session_id)
            if result is None:
                kept.due_s = now_s + kept.life.pause_s
            elif result.alive:
                kept.life.confirmed(request.sent_s, result.ttl_ms / 1000)
                kept.due_s = now_s + kept.life.until_next_s(now_s)
            else:
                over.append(session_id)
            self._unripe(session_id, kept)
        return over

    def late(self, now_s: float) -> bool:
        """Whether an answer should have come by now."""
        return any(request.deadline_s <= now_s for request in self._asked)

    def failed(self, now_s: float) -> None:
        """The stream is gone, with all that was not answered; another one has to take its place at once.

        The cluster may have noticed too, and leaves sessions with a grace for lost connections no more than that.
        """
        self._asked.clear()
        self._times.clear()
        self._ripe.clear()
        for session_id, kept in self._kept.items():
            kept.due_s = now_s + (kept.life.pause_s if kept.asked else 0)
            kept.asked = False
            kept.queued_s = math.inf
            self._queue(session_id, kept)

    def ended(self, now_s: float) -> list[int]:
        """Returns the sessions that nobody confirmed within their TTL."""
        self._ripen(now_s)
        return [i for i, kept in self._ripe.items() if kept.life.ends_s <= now_s]

    def wait_s(self, now_s: float) -> float | None:
        """Returns how long there is nothing to do, in seconds; None: until something comes."""
        if self._ripe:
            return 0.0
        next_s = min((r.deadline_s for r in self._asked), default=math.inf)
        next_s = min(next_s, self._next_s())
        return None if next_s == math.inf else max(0.0, next_s - now_s)
