"""Writes that are sent again by themselves, and apply once: each carries a number under a session of the client."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from coordinator_client import _io_async as io
from coordinator_client import calls, errors, failures, validation
from coordinator_client._async.connection import Connection
from coordinator_client._async.session import Session
from coordinator_client._async.writes import Writes
from coordinator_client.calls import Method, Reply, Request
from coordinator_client.failures import Backoff, CallFailed, Failure, NumberedDecision
from coordinator_client.numbers import Numbers
from coordinator_client.pb import common_pb2, session_pb2

METADATA = {"purpose": "numbered writes"}
"""What the list of sessions shows of a request session."""

CLOSE_TIMEOUT_S_MAX = 1.0
"""How long the end of a client may be held up by telling the cluster."""


@dataclass
class _Line:
    """A request session, and the numbers given out under it."""

    session: Session
    numbers: Numbers


class _Write:
    """One write of the program, whatever numbers it goes through."""

    __slots__ = ("_crowded", "_pauses", "attempts", "deadline_s", "late", "timeout_s", "uncertain")

    def __init__(self, timeout_s: float, deadline_s: float) -> None:
        self.timeout_s = timeout_s
        self.deadline_s = deadline_s
        self.attempts = 0
        self.uncertain = False
        """Whether an attempt may have been applied, or may be yet."""
        self.late = "no time is left to send the write (again)"
        """What is said once its time is over."""
        self._pauses: Backoff | None = None
        self._crowded: Backoff | None = None

    def pause_s(self, endpoint_count: int) -> float:
        """Returns how long to wait before another attempt."""
        if self._pauses is None:
            self._pauses = Backoff(endpoint_count)
        return self._pauses.next_s()

    def crowded_s(self) -> float:
        """Returns how long to wait after an attempt that was refused because too much of others is kept."""
        if self._crowded is None:
            self._crowded = Backoff(1)
        return self._crowded.next_s()


class _Turn:
    """A write that waits for a number, or for others to finish."""

    __slots__ = ("came", "line", "number", "wants")

    def __init__(self, *, wants: bool) -> None:
        self.wants = wants
        """Whether it waits for a number."""
        self.came = io.Flag()
        self.line: _Line | None = None
        self.number = 0
        """The number that it was given; 0: it is to look again."""


class NumberedWrites(Writes):
    """Numbers every write under a hidden session, so that it can be sent again until its outcome is known.

    The session is opened before the first write and kept alive like any other. When it has ended, a write that was
    surely not applied goes on under a new one; one that may have been applied ends as OutcomeUnknown, because the
    cluster has forgotten its result. Numbers that nobody waits for any more, after a deadline or a cancellation, are
    finished like others: they hold up nothing and are never used again.
    """

    def __init__(self, connection: Connection, ttl_s: float, window: int) -> None:
        super().__init__(connection)
        self._opening = session_pb2.SessionOpenRequest(
            ttl_ms=calls.milliseconds(ttl_s, "request_ttl_s"), metadata=METADATA
        )
        self._window = window
        self._guard = io.Guard()
        self._line: _Line | None = None
        self._waiting: deque[_Turn] = deque()
        """Of writes that wait for a number, or for others to finish, the first one first."""
        self._opener = False
        """Whether a write is opening the session for all."""
        self._opened = io.Flag()
        self._closed = False

    async def call(
        self, method: Method[Request, Reply], request: Request, timeout_s: float | None = None
    ) -> Reply:
        connection = self._connection
        connection.check_size(request)
        timeout_s = connection.timeout_s if timeout_s is None else validation.timeout(timeout_s)
        write = _Write(timeout_s, io.now_s() + timeout_s)
        while True:
            line, number = self._number_at_hand() or await self._take_number(write.deadline_s)
            try:
                answer = await self._send(method, request, write, line, number)
            finally:
                self._finish(line, number)
            if not isinstance(answer, Failure):
                return answer
            if failures.is_forgotten(answer):
                line.session.declare_lost("the cluster does not know it any more")
                write.late = (
                    "the session that numbers writes ended, and no time is left for another"
                )
                if not await self._pause(write, write.pause_s(len(connection.endpoints))):
                    connection.check_open()
                    raise errors.Unavailable(write.late)
            elif not await self._pause_for_others(write):
                raise failures.error_of_numbered(answer, uncertain=False)

    async def close(self) -> None:
        """Ends the session. Writes that are under way lose their answer."""
        with self._guard:
            self._closed = True
            line = self._line
            while self._waiting:
                self._waiting.popleft().came.set()
        if line is not None:
            await line.session.close(timeout_s=min(self._connection.timeout_s, CLOSE_TIMEOUT_S_MAX))

    # --- one write ------------------------------------------------------------------------------

    async def _send(
        self,
        method: Method[Request, Reply],
        request: Request,
        write: _Write,
        line: _Line,
        number: int,
    ) -> Reply | Failure:
        """Sends a write under one number until its outcome is known.

        Returns the Failure after which it is to be sent under another number: it was surely not applied under this one.
        """
        connection = self._connection
        while True:
            self._mark(request, line, number)
            left_s = write.deadline_s - io.now_s()
            if left_s <= 0:
                kind = errors.OutcomeUnknown if write.uncertain else errors.Unavailable
                raise kind(write.late)
            endpoint = connection.endpoint
            share_s = failures.attempt_timeout_s(
                left_s, write.timeout_s, safe=True, endpoint_count=len(connection.endpoints)
            )
            try:
                return await connection.attempt(endpoint, method, request, share_s, safe=True)
            except CallFailed as failed:
                failure = failed.failure
            except errors.Closed:
                if not write.uncertain:
                    raise
                raise errors.OutcomeUnknown("the client was closed under the write") from None
            write.attempts += 1
            write.uncertain |= not failures.changed_nothing(failure)
            decision = failures.decide_numbered(
                failure, uncertain=write.uncertain, attempts=write.attempts
            )
            if decision is NumberedDecision.NUMBER_AGAIN:
                return failure
            if decision is not NumberedDecision.RAISE:
                connection.leave(endpoint)
            if decision in (
                NumberedDecision.RAISE,
                NumberedDecision.LEAVE,
            ) or not await self._pause(write, write.pause_s(len(connection.endpoints))):
                raise failures.error_of_numbered(failure, uncertain=write.uncertain)

    def _mark(self, request: Request, line: _Line, number: int) -> None:
        """Puts the number into the request, and how far the cluster may forget by now."""
        with self._guard:
            below = line.numbers.acknowledged_below
        mark: common_pb2.RequestId = request.request  # type: ignore[attr-defined]  # every write has the field
        mark.session = line.session.id
        mark.sequence = number
        mark.acknowledged_below = below

    async def _pause(self, write: _Write, pause_s: float) -> bool:
        """Waits; returns whether the write may go on then."""
        if io.now_s() + pause_s >= write.deadline_s:
            return False
        return not await self._connection.wait_closed(pause_s)

    async def _pause_for_others(self, write: _Write) -> bool:
        """Waits a little, or until a number was finished; returns whether the write may go on then."""
        turn = _Turn(wants=False)
        with self._guard:
            self._waiting.append(turn)
        try:
            await turn.came.wait(write.crowded_s())
        finally:
            self._give_up(turn)
        return await self._pause(write, 0.0)

    # --- numbers --------------------------------------------------------------------------------

    def _number_at_hand(self) -> tuple[_Line, int] | None:
        """Returns a number of a session that is alive if nobody waits for one; None: it takes some waiting."""
        with self._guard:
            line = self._line
            if line is None or self._waiting or self._closed or line.session.remaining_s <= 0:
                return None
            number = line.numbers.take()
            return None if number is None else (line, number)

    async def _take_number(self, deadline_s: float) -> tuple[_Line, int]:
        """Returns a number of a session that is alive, as soon as there is one; raises what opening one raises."""
        first = False
        while True:
            line = await self._open_line(deadline_s)
            turn = _Turn(wants=True)
            with self._guard:
                # Nobody is overtaken: a newcomer takes what is left when no other waits.
                number = line.numbers.take() if first or not self._waiting else None
                if number is not None:
                    return line, number
                if first:
                    self._waiting.appendleft(turn)
                else:
                    self._waiting.append(turn)
            try:
                first = await turn.came.wait(max(0.0, deadline_s - io.now_s()))
            except BaseException:
                self._give_up(turn)
                raise
            if not first:
                self._give_up(turn)
                raise errors.Unavailable(
                    f"{self._window} writes are under way since before this one; "
                    "it was not sent before its time was over"
                )
            if turn.line is not None:
                return turn.line, turn.number

    def _give_up(self, turn: _Turn) -> None:
        """Whoever waited does no more. If it was this one's turn, it is the next one's now."""
        with self._guard:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif turn.line is not None:
                turn.line.numbers.finish(turn.number)
            self._wake()

    def _finish(self, line: _Line, number: int) -> None:
        with self._guard:
            line.numbers.finish(number)
            if self._waiting:
                self._wake()

    def _wake(self) -> None:
        """Gives those who wait the numbers that there are; the caller holds the guard.

        Without a session that is alive, one of them is to open another.
        """
        line = self._line
        if line is None or line.session.remaining_s <= 0:
            if self._waiting:
                self._waiting.popleft().came.set()
            return
        while self._waiting:
            turn = self._waiting[0]
            if turn.wants:
                number = line.numbers.take()
                if number is None:
                    return
                turn.line, turn.number = line, number
            self._waiting.popleft()
            turn.came.set()

    # --- the session ----------------------------------------------------------------------------

    async def _open_line(self, deadline_s: float) -> _Line:
        """Returns a session that is alive, opened by this write or another."""
        while True:
            with self._guard:
                line = self._line
                if self._closed:
                    raise errors.Closed("the client is closed")
                if line is not None and line.session.remaining_s > 0:
                    return line
                opens = not self._opener
                if opens:
                    self._opener = True
                    self._opened.clear()
            if opens:
                try:
                    return await self._replace(line, deadline_s)
                finally:
                    with self._guard:
                        self._opener = False
                    self._opened.set()
            left_s = deadline_s - io.now_s()
            if left_s <= 0:
                raise errors.Unavailable("no session to number the write could be opened in time")
            await self._opened.wait(left_s)

    async def _replace(self, old: _Line | None, deadline_s: float) -> _Line:
        if old is not None:
            # Not closed: the cluster may know it for some time yet, and answer what was sent under it.
            old.session.declare_lost("it was not confirmed in time")
            await old.session.close()
        left_s = deadline_s - io.now_s()
        if left_s <= 0:
            raise errors.Unavailable("no session to number the write could be opened in time")
        session = Session(self._connection, self._opening, self._note_loss, self)
        try:
            await session.open(timeout_s=left_s)
        except errors.DeadlineExceeded as error:
            raise errors.Unavailable(
                f"no session to number the write could be opened in time: {error.message}"
            ) from error
        line = _Line(session, Numbers(self._window))
        with self._guard:
            closed = self._closed
            if not closed:
                self._line = line
                self._wake()
        if closed:
            await session.close(timeout_s=min(self._connection.timeout_s, CLOSE_TIMEOUT_S_MAX))
            raise errors.Closed("the client is closed")
        return line

    def _note_loss(self, session: Session) -> None:
        """Writes that wait for numbers of this session need another one, which the first of them will open."""
        with self._guard:
            self._wake()
