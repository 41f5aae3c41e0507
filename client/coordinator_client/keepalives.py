"""When which sessions are to be kept alive over one stream, and what an answer means. Does no input or output.

With a TTL of 9 s a keep-alive is due 3 s after the last one. When one session's is due, those of all others whose last
one is 1.5 s old go along: so the sessions of a program soon travel together, however they were opened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from coordinator_client.lifetime import Lifetime
from coordinator_client.pb import session_pb2

ALONG_SHARE = 1 / 6
"""Of the TTL: a keep-alive that is due within that goes along with one that is due now."""


class _Kept:
    """One session."""

    __slots__ = ("asked", "due_s", "life")

    def __init__(self, life: Lifetime, due_s: float) -> None:
        self.life = life
        self.due_s = due_s
        self.asked = False


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

    def __len__(self) -> int:
        return len(self._kept)

    def ids(self) -> list[int]:
        """Returns the sessions."""
        return list(self._kept)

    def add(self, session_id: int, life: Lifetime, now_s: float) -> None:
        """Takes a session, whose first keep-alive is due now."""
        self._kept[session_id] = _Kept(life, now_s)

    def remove(self, session_id: int) -> None:
        """Forgets a session. Idempotent."""
        self._kept.pop(session_id, None)

    def due(self, now_s: float) -> list[int]:
        """Returns the sessions to send a keep-alive of now, as one message; empty: none. They count as sent."""
        waiting = [(i, kept) for i, kept in self._kept.items() if not kept.asked]
        if not any(kept.due_s <= now_s for _, kept in waiting):
            return []
        ids = []
        patience_s = float("inf")
        for session_id, kept in waiting:
            life = kept.life
            if kept.due_s <= now_s + life.ttl_s * ALONG_SHARE:
                kept.asked = True
                life.sent(now_s)
                patience_s = min(patience_s, life.answer_timeout_s, life.remaining_s(now_s))
                ids.append(session_id)
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
        return over

    def late(self, now_s: float) -> bool:
        """Whether an answer should have come by now."""
        return any(request.deadline_s <= now_s for request in self._asked)

    def failed(self, now_s: float) -> None:
        """The stream is gone, with all that was not answered; another one has to take its place at once.

        The cluster may have noticed too, and leaves sessions with a grace for lost connections no more than that.
        """
        self._asked.clear()
        for kept in self._kept.values():
            kept.due_s = now_s + (kept.life.pause_s if kept.asked else 0)
            kept.asked = False

    def ended(self, now_s: float) -> list[int]:
        """Returns the sessions that nobody confirmed within their TTL."""
        return [i for i, kept in self._kept.items() if kept.life.remaining_s(now_s) <= 0]

    def wait_s(self, now_s: float) -> float | None:
        """Returns how long there is nothing to do, in seconds; None: until something comes."""
        times = [now_s + kept.life.remaining_s(now_s) for kept in self._kept.values()]
        times += [kept.due_s for kept in self._kept.values() if not kept.asked]
        times += [request.deadline_s for request in self._asked]
        return max(0.0, min(times) - now_s) if times else None
