"""Sessions that are open, and the results of numbered requests that their clients may still ask for again."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from sortedcontainers import SortedList

from coordinator.state.commands import RequestId
from coordinator.state.model import Session
from coordinator.state.results import Code, Failure, Result

RESULTS_MAX = 1024
"""Results that one session keeps for requests not yet acknowledged."""
RESULTS_SIZE_BYTES_MAX = 4 * 1024 * 1024
"""Of those results, encoded: from this size on none is added, so that they come to less than this and one result.

A constant and no setting, as RESULTS_MAX is: every node must refuse the same requests.
"""

_encoder = msgspec.msgpack.Encoder()


class Requests:
    """What the numbered requests of one session came to.

    `floor` is the lowest number whose result may still be asked for; `results` holds, by number, the revision, the
    result and the encoded size of the result in bytes of each request at or above it that was applied; `size_bytes` is
    the sum of those sizes. Only `keep` adds results.
    """

    __slots__ = ("floor", "results", "size_bytes")

    def __init__(self, floor: int = 0) -> None:
        self.floor = floor
        self.results: dict[int, tuple[int, Result, int]] = {}
        self.size_bytes = 0

    def admit(self, request: RequestId) -> tuple[int, Result] | Failure | None:
        """Returns the stored result of a request, the Failure that refuses it, or None if it is to be applied."""
        self._acknowledge(request.acknowledged_below)
        if request.sequence < self.floor:
            return Failure(
                Code.REQUEST_FORGOTTEN,
                "the request is below what its client acknowledged",
                value=request.session,
            )
        stored = self.results.get(request.sequence)
        if stored is not None:
            return stored[:2]
        return self._refuse_if_full(request.session)

    def foresee(self, request: RequestId) -> Failure | None:
        """Returns the Failure that `admit` would refuse a request with because too much is kept; changes nothing."""
        if self._refuse_if_full(request.session) is None:
            return None
        found = self.copy().admit(request)
        return found if isinstance(found, Failure) and found.code is Code.REQUEST_WINDOW else None

    def _refuse_if_full(self, session: int) -> Failure | None:
        if len(self.results) >= RESULTS_MAX:
            return Failure(
                Code.REQUEST_WINDOW,
                f"{RESULTS_MAX} results of the session are not acknowledged",
                value=session,
            )
        if self.size_bytes >= RESULTS_SIZE_BYTES_MAX:
            return Failure(
                Code.REQUEST_WINDOW,
                f"{RESULTS_SIZE_BYTES_MAX} bytes of results of the session are not acknowledged",
                value=session,
            )
        return None

    def keep(self, sequence: int, revision: int, result: Result) -> None:
        """Adds what a request came to, which was admitted and is now applied."""
        size = len(_encoder.encode(result))
        self.results[sequence] = (revision, result, size)
        self.size_bytes += size

    def _acknowledge(self, below: int) -> None:
        if below <= self.floor:
            return
        if below - self.floor <= len(self.results):
            for sequence in range(self.floor, below):
                stored = self.results.pop(sequence, None)
                if stored is not None:
                    self.size_bytes -= stored[2]
        else:
            self.results = {s: stored for s, stored in self.results.items() if s >= below}
            self.size_bytes = sum(size for _, _, size in self.results.values())
        self.floor = below

    def copy(self) -> Requests:
        """Returns a copy that later requests leave alone."""
        copy = Requests(self.floor)
        copy.results = self.results.copy()
        copy.size_bytes = self.size_bytes
        return copy


class Sessions:
    """The open sessions by id."""

    def __init__(self) -> None:
        self._sessions: dict[int, Session] = {}
        self._ids: SortedList = SortedList()
        self._requests: dict[int, Requests] = {}  # of sessions that ever numbered a request

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, id: object) -> bool:
        return id in self._sessions

    def get(self, id: int) -> Session | None:
        return self._sessions.get(id)

    def above(self, id: int) -> Iterator[Session]:
        """Yields the sessions with a greater id, ascending. None may open or end meanwhile."""
        return map(self._sessions.__getitem__, self._ids.irange(id, None, (False, False)))

    def open(self, session: Session) -> None:
        assert session.id not in self._sessions
        self._sessions[session.id] = session
        self._ids.add(session.id)

    def end(self, id: int) -> Session:
        """Removes an open session, and with it the results of its requests."""
        self._requests.pop(id, None)
        self._ids.remove(id)
        return self._sessions.pop(id)

    def requests(self, id: int) -> Requests:
        """Returns the requests of an open session, for the caller to add to."""
        assert id in self._sessions
        requests = self._requests.get(id)
        if requests is None:
            requests = self._requests[id] = Requests()
        return requests

    def foresee(self, request: RequestId) -> Failure | None:
        """Returns the Failure of a request for which its session keeps too much; None if it is not open."""
        requests = self._requests.get(request.session)
        return None if requests is None else requests.foresee(request)

    def copy(self) -> list[tuple[Session, Requests]]:
        """Returns all sessions in ascending order, in copies that later changes leave alone."""
        nothing = Requests()
        return [
            (
                session,
                self._requests[session.id].copy() if session.id in self._requests else nothing,
            )
            for session in map(self._sessions.__getitem__, self._ids)
        ]
