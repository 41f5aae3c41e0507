"""An event loop without time: its clock jumps to whatever is due next, and everything happens in one order.

Every callback belongs to a `Life`, one run of one simulated process, or to the world around them. The life travels in
the context of tasks and callbacks; a life that is frozen keeps its callbacks for later, one that ended loses them, as a
process does that is stopped or killed. Each life has a clock of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

STEP_S = 1e-6
"""What one callback takes, so that time passes even in a loop that never waits."""
STEPS_MAX = 5_000_000
"""Callbacks of one simulation; more of them mean that something goes round and round."""


class Cut(BaseException):
    """The process ended here, in the middle of a file operation. Nothing may catch it."""


class Stuck(Exception):
    """Nothing will ever happen again, or something happens again and again."""


class Life:
    """One run of a process: its clock, and whether it runs, stands still or is over."""

    def __init__(self, loop: SimLoop, member: int) -> None:
        self.member = member
        loop.lives += 1
        self.number = loop.lives
        self.frozen = False
        self.over = False
        self.rate = 1.0
        """Seconds that this clock counts in a second."""
        self.offset_s = 0.0
        self.jobs: Callable[[], tuple[float, float]] = lambda: (1e-4, 1e-4)
        """How long a job on another thread takes: until it is done, and until the loop hears of it."""
        self.cut: Callable[[], None] = lambda: None
        """Called when a `Cut` ended a job."""
        self.ended: asyncio.Future[None] = loop.create_future()
        self.held: list[tuple[bool, asyncio.Handle]] = []
        """(is a timer, callback) of what was due while frozen."""
        self.context = contextvars.copy_context()
        self.context.run(_LIFE.set, self)
        self._loop = loop

    def clock(self) -> float:
        """What this process takes the time to be."""
        return self._loop.now * self.rate + self.offset_s

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Runs a coroutine as part of this process."""
        return self._loop.create_task(work, context=self.context)

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self, *, timers_first: bool) -> None:
        """Goes on; what was due meanwhile happens now, in its order or all timers first."""
        self.frozen = False
        held, self.held = self.held, []
        if timers_first:
            held.sort(key=lambda item: not item[0])
        self._loop.resume(self, [handle for _, handle in held])

    def jump(self, seconds: float) -> None:
        """The clock of this process goes forward at once."""
        self.offset_s += seconds
        self._loop.hasten(self, seconds / self.rate)

    def end(self) -> None:
        """Nothing of this process happens any more."""
        if not self.over:
            self.over = True
            self.held.clear()
            if not self.ended.done():
                self.ended.set_result(None)


_LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)


class SimLoop(asyncio.BaseEventLoop):
    """See the module. `now` is the world's time in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.steps = 0
        self.lives = 0
        """Processes that there were so far."""
        self.complaints: list[str] = []
        """Exceptions that nobody took."""
        self._callbacks: deque[tuple[Life | None, asyncio.Handle]] = deque()
        self._timers: list[tuple[float, int, Life | None, asyncio.TimerHandle]] = []
        self._order = 0
        self._busy_until: dict[Executor | None, float] = {}
        self._tasks: list[asyncio.Task[Any]] = []
        self._sweep_above = 1_000
        self._buried = False
        self.set_exception_handler(self._complain)

    # Time.

    def time(self) -> float:
        """The time on the clock of whoever asks."""
        life = _LIFE.get()
        return self.now if life is None else self.now * life.rate + life.offset_s

    def read_clock(self) -> float:
        """Like `time`; looking at the clock takes time itself, so that work in slices comes to an end."""
        self.now += STEP_S
        return self.time()

    # Callbacks.

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        life = _LIFE.get() if context is None else context.get(_LIFE)
        self._callbacks.append((life, handle))
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        life = _LIFE.get() if context is None else context.get(_LIFE)
        due = when if life is None else (when - life.offset_s) / life.rate
        self._schedule(due, life, handle)
        return handle

    def after(
        self,
        delay_s: float,
        life: Life | None,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
    ) -> asyncio.TimerHandle:
        """Calls back after a delay of the world's time, as part of a process or (None) of the world."""
        due = self.now + delay_s
        context = contextvars.Context() if life is None else life.context
        handle = asyncio.TimerHandle(due, callback, args, self, context)
        self._schedule(due, life, handle)
        return handle

    def _schedule(self, due: float, life: Life | None, handle: asyncio.TimerHandle) -> None:
        self._order += 1
        heapq.heappush(self._timers, (due, self._order, life, handle))

    def resume(self, life: Life, handles: list[asyncio.Handle]) -> None:
        """Takes back what a life held."""
        self._callbacks.extend((life, handle) for handle in handles)

    def hasten(self, life: Life, seconds: float) -> None:
        """Brings all timers of a life nearer."""
        self._timers = [
            (due - seconds if whose is life else due, order, whose, handle)
            for due, order, whose, handle in self._timers
        ]
        heapq.heapify(self._timers)

    def _run_once(self) -> None:
        timers, callbacks = self._timers, self._callbacks
        while timers and (timers[0][3].cancelled() or timers[0][0] <= self.now):
            _, _, life, handle = heapq.heappop(timers)
            if not handle.cancelled():
                self._admit(life, handle, timer=True)
        if not callbacks:
            if not timers:
                raise Stuck("nothing will ever happen again")
            self.now = max(self.now, timers[0][0])
            return
        for _ in range(len(callbacks)):
            owner, callback = callbacks.popleft()
            if callback.cancelled():
                continue
            if owner is not None and (owner.over or owner.frozen):
                self._admit(owner, callback, timer=False)
                continue
            self.now += STEP_S
            self.steps += 1
            callback._run()
        if self.steps > STEPS_MAX:
            raise Stuck(f"{STEPS_MAX} callbacks, and no end")

    def _admit(self, life: Life | None, handle: asyncio.Handle, *, timer: bool) -> None:
        """Queues a callback that is due, keeps it for later or drops it."""
        if life is None or not (life.over or life.frozen):
            self._callbacks.append((life, handle))
        elif not life.over:
            life.held.append((timer, handle))

    # Tasks.

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, context=context)
        # Tasks of a process that was killed never end, and must not be collected while others run: nothing that they
        # would do on that occasion happens in a process that is gone.
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # as BaseEventLoop does
        self._tasks.append(task)
        if len(self._tasks) > self._sweep_above:
            self._tasks = [kept for kept in self._tasks if not kept.done()]
            self._sweep_above = 1_000 + 2 * len(self._tasks)
        return task

    # Other threads.

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Runs a function after a while, on no thread; those of one executor come one after the other."""
        life = _LIFE.get()
        future: asyncio.Future[T] = self.create_future()
        before_s, after_s = (1e-4, 1e-4) if life is None else life.jobs()
        start = self.now
        if executor is not None:
            start = max(start, self._busy_until.get(executor, 0.0))
            self._busy_until[executor] = start + before_s + after_s

        def run() -> None:
            try:
                result = func(*args)
            except Cut:
                assert life is not None
                life.cut()
            except Exception as error:
                self.after(after_s, life, _fail, future, error)
            else:
                self.after(after_s, life, _fulfil, future, result)

        self.after(start - self.now + before_s, life, run)
        return future

    # The end.

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        life = _LIFE.get()
        if self._buried or (life is not None and life.over):
            return
        error = context.get("exception")
        if isinstance(error, Cut) and life is not None:
            life.cut()
            return
        self.complaints.append(f"{context.get('message')}: {error!r}")

    def bury(self) -> None:
        """Ends all that still waits, without letting any of it have an effect."""
        self._buried = True
        previous = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            for task in self._tasks:
                coroutine = task.get_coro()
                if not task.done() and isinstance(coroutine, Coroutine):
                    try:
                        coroutine.close()
                    except RuntimeError:
                        continue
        finally:
            asyncio._set_running_loop(previous)
        self._tasks.clear()
        self._callbacks.clear()
        self._timers.clear()


@contextmanager
def simulated() -> Iterator[SimLoop]:
    """A loop; in the end, nothing that still waits in it has any effect."""
    loop = SimLoop()
    try:
        yield loop
    finally:
        loop.bury()
        loop.close()


def _fulfil(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
