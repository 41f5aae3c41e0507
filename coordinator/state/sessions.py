"""Sessions that are open, and the results of numbered requests that their clients may still ask for again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from sortedcontainers import SortedList

from coordinator.state.commands import RequestId
from coordinator.state.model import Session
from coordinator.state.results import Code, Failure, Result
from coordinator.state.shelf import Shelf
from coordinator.state.tally import (
    RECORD_OVERHEAD_BYTES,
    encode,
    hash_of,
    hash_of_floor,
    hash_of_result,
)

RESULTS_MAX = 1024
"""Results that one session keeps for requests not yet acknowledged."""
RESULTS_SIZE_BYTES_MAX = 4 * 1024 * 1024
"""Of those results, encoded: from this size on none is added, so that they come to less than this and one result.

A constant and no setting, as RESULTS_MAX is: every node must refuse the same requests.
"""


class Kept(msgspec.Struct, frozen=True, gc=False):
    """What one numbered request came to."""

    revision: int
    """The store's after the request."""
    result: Result
    size_bytes: int
    """Of the result, encoded."""
    hash: int


class Requests(msgspec.Struct, gc=False):
    """What the numbered requests of one session came to.

    Nothing refers back to it: the garbage collector need not look at it.
    """

    floor: int = 0
    """The lowest number whose result may still be asked for."""
    results: dict[int, Kept] = msgspec.field(default_factory=dict)
    """By number, of the requests at or above the floor that were applied. Only `keep` adds some."""
    size_bytes: int = 0
    """The sum of the sizes of the results."""
    holds_taken: int = 0
    """How many holds there had been when this was made: later ones may know it, and then it must not change."""

    def admit(self, request: RequestId) -> tuple[int, Result] | Failure | None:
        """Returns the stored result of a request, the Failure that refuses it, or None if it is to be applied."""
        if request.sequence < self.floor:
            return Failure(
                Code.REQUEST_FORGOTTEN,
                "the request is below what its client acknowledged",
                value=request.session,
            )
        stored = self.results.get(request.sequence)
        if stored is not None:
            return stored.revision, stored.result
        return self._refuse_if_full(request.session)

    def foresee(self, request: RequestId) -> Failure | None:
        """Returns the Failure that `admit` would refuse a request with because too much is kept; changes nothing."""
        if self._refuse_if_full(request.session) is None:
            return None
        later = self.copy(self.holds_taken)
        if request.acknowledged_below > later.floor:
            later.acknowledge(request.acknowledged_below)
        found = later.admit(request)
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

    def keep(self, session: int, sequence: int, revision: int, result: Result) -> Kept:
        """Adds and returns what a request came to, which was admitted and is now applied."""
        encoded = encode(result)
        hash = hash_of_result(session, sequence, revision, encoded)
        kept = self.results[sequence] = Kept(revision, result, len(encoded), hash)
        self.size_bytes += len(encoded)
        return kept

    def acknowledge(self, below: int) -> list[Kept]:
        """Forgets what requests below a number came to, which is above the floor; returns it."""
        if below - self.floor <= len(self.results):
            sequences = [s for s in range(self.floor, below) if s in self.results]
        else:
            sequences = [s for s in self.results if s < below]
        gone = [self.results.pop(sequence) for sequence in sequences]
        for kept in gone:
            self.size_bytes -= kept.size_bytes
        self.floor = below
        return gone

    def copy(self, holds_taken: int) -> Requests:
        """Returns a copy that may change."""
        return Requests(self.floor, self.results.copy(), self.size_bytes, holds_taken)


_NO_REQUESTS = Requests()


def size_of_session(session: Session) -> int:
    return len(encode(session)) + RECORD_OVERHEAD_BYTES


class HeldSessions:
    """The sessions at one moment, until they are released."""

    def __init__(
        self, sessions: Shelf[int, Session], requests: Shelf[int, Requests], page_max: int
    ) -> None:
        self._shelves = (sessions, requests)
        self._sessions, self._requests = sessions.hold(), requests.hold()
        self._page_max = page_max

    def release(self) -> None:
        sessions, requests = self._shelves
        sessions.release(self._sessions)
        requests.release(self._requests)

    def sessions(self) -> Iterator[list[tuple[Session, int]]]:
        """Yields the sessions, ascending, with the floors of their requests, in pages."""
        for page in self._sessions.pages(self._page_max):
            yield [(session, self._floor(id)) for id, session in page]

    def requests(self) -> Iterator[list[tuple[int, Requests]]]:
        """Yields the requests by session, ascending, in pages. They never change any more."""
        return self._requests.pages(self._page_max)

    def _floor(self, id: int) -> int:
        requests = self._requests.get(id)
        return 0 if requests is None else requests.floor


class Sessions:
    """The open sessions by id."""

    def __init__(self) -> None:
        self._sessions: Shelf[int, Session] = Shelf()
        self._requests: Shelf[int, Requests] = Shelf()  # of sessions that ever numbered a request
        self.hash_of_sessions = self.hash_of_results = 0
        self.size_bytes = 0
        """Of sessions and results."""

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, id: object) -> bool:
        return id in self._sessions

    def get(self, id: int) -> Session | None:
        return self._sessions.get(id)

    def above(self, id: int) -> Iterator[Session]:
        """Yields the sessions with a greater id, ascending. None may open or end meanwhile."""
        return self._sessions.above(id)

    def open(self, session: Session) -> None:
        assert session.id not in self._sessions
        self._sessions.set(session.id, session)
        self.hash_of_sessions += hash_of(session)
        self.size_bytes += size_of_session(session)

    def end(self, id: int) -> Session:
        """Removes an open session, and with it the results of its requests."""
        requests, session = self._requests.remove(id), self._sessions.remove(id)
        assert session is not None
        self.hash_of_sessions -= hash_of(session)
        self.size_bytes -= size_of_session(session)
        if requests is not None:
            self._forget(requests.results.values())
            self.hash_of_results -= hash_of_floor(id, requests.floor)
        return session

    def requests(self, id: int) -> Requests | None:
        """Returns the requests of an open session, not to be changed; None if it never numbered any."""
        return self._requests.get(id)

    def admit(self, request: RequestId) -> tuple[int, Result] | Failure | None:
        """Returns the stored result of a request, the Failure that refuses it, or None if it is to be applied.

        Its session is open. What the request acknowledges is forgotten first.
        """
        if request.acknowledged_below > 0:
            self.acknowledge(request.session, request.acknowledged_below)
        requests = self._requests.get(request.session)
        return (_NO_REQUESTS if requests is None else requests).admit(request)

    def acknowledge(self, id: int, below: int) -> None:
        """Forgets what requests of an open session below a number came to."""
        requests = self._requests.get(id)
        floor = 0 if requests is None else requests.floor
        if below > floor:
            self._forget(self._changeable(id).acknowledge(below))
            self.hash_of_results += hash_of_floor(id, below - floor)

    def _forget(self, gone: Iterable[Kept]) -> None:
        for kept in gone:
            self.hash_of_results -= kept.hash
            self.size_bytes -= kept.size_bytes + RECORD_OVERHEAD_BYTES

    def keep(self, id: int, sequence: int, revision: int, result: Result) -> None:
        """Adds what a request of an open session came to, which was admitted and is now applied."""
        kept = self._changeable(id).keep(id, sequence, revision, result)
        self.hash_of_results += kept.hash
        self.size_bytes += kept.size_bytes + RECORD_OVERHEAD_BYTES

    def _changeable(self, id: int) -> Requests:
        """Returns the requests of an open session, to be changed: no hold knows them."""
        requests = self._requests.get(id)
        holds_taken = self._requests.holds_taken
        if requests is not None and requests.holds_taken == holds_taken:
            return requests
        assert id in self._sessions
        requests = (requests or _NO_REQUESTS).copy(holds_taken)
        self._requests.set(id, requests)
        return requests

    def foresee(self, request: RequestId) -> Failure | None:
        """Returns the Failure of a request for which its session keeps too much; None if it is not open."""
        requests = self._requests.get(request.session)
        return None if requests is None else requests.foresee(request)

    def hold(self, page_max: int) -> HeldSessions:
        """Returns all sessions as they are now; they are read in pages of so many, and released."""
        return HeldSessions(self._sessions, self._requests, page_max)

    def containers(self) -> Iterator[dict[Any, Any] | SortedList]:
        """Yields all that takes memory in proportion to the content, for whoever empties sessions out of use."""
        yield from self._sessions.containers()
        yield from self._requests.containers()
