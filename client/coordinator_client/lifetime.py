"""How long a session is sure to live, counted on the client's own clock.

The cluster counts from when it received a keep-alive, the client from when it sent it, and only once it is confirmed.
So the client's count always ends first: a program that stops its work when the session is lost stops before the
cluster gives its keys away. With a TTL of 9 s: sent at 3.0, confirmed at 3.4, the session is sure until 12.0; the next
keep-alive goes out at 6.0.
"""

from __future__ import annotations


class Lifetime:
    """The clock of one session. All times are seconds of one monotonic clock."""

    ANSWER_S_MAX = 2.0

    def __init__(self, ttl_s: float, confirmed_s: float) -> None:
        self.ttl_s = ttl_s
        self._confirmed_s = confirmed_s
        self._sent_s = confirmed_s

    @property
    def answer_timeout_s(self) -> float:
        """How long to wait for the answer to a keep-alive before another node is asked."""
        return min(self.ttl_s / 5, self.ANSWER_S_MAX)

    @property
    def pause_s(self) -> float:
        """The pause between failed attempts."""
        return min(self.ttl_s / 20, 0.25)

    def sent(self, now_s: float) -> None:
        """A keep-alive goes out."""
        self._sent_s = now_s

    def confirmed(self, sent_s: float, ttl_s: float) -> None:
        """The keep-alive sent at `sent_s` was confirmed, and the TTL is `ttl_s`."""
        self._confirmed_s = max(self._confirmed_s, sent_s)
        if ttl_s > 0:
            self.ttl_s = ttl_s

    @property
    def ends_s(self) -> float:
        """Until when the session is sure to live."""
        return self._confirmed_s + self.ttl_s

    def remaining_s(self, now_s: float) -> float:
        """How long the session is still sure to live; 0 when that is over."""
        return max(0.0, self.ends_s - now_s)

    def until_next_s(self, now_s: float) -> float:
        """How long until the next keep-alive is due."""
        return max(0.0, min(self._sent_s + self.ttl_s / 3 - now_s, self.remaining_s(now_s)))
