"""One program of `python -m tests.faults.locks`: contenders for one lock, each of which takes one turn.

    python -m tests.faults.contender KIND NAME COUNT ENDPOINTS

What a contender of a kind does in its turn:

- `plain`: writes that it came, writes that it goes, gives the lock back.
- `dying`: prints `holding` and its fence, and keeps the lock until the program is killed.
- `paused`: prints `holding` and its fence, and stands still, keep-alives and all, until a line comes in; then makes a
  guarded write.
- `ousted`: has its session closed by another client, waits until the next one has come, then makes a guarded write.

The last two print `refused` or `accepted`, and take one more turn as plain ones. Whoever loses its place begins again
and prints `again`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from coordinator_client import aio

LOCK = "crowd"
TURNS = "/turns/"
CAME, WENT, STALE = f"{TURNS}came", f"{TURNS}went", f"{TURNS}stale"
TTL_S = 10.0
GRACE_S = 1.0
TIMEOUT_S = 30.0
LOSSES = (
    aio.FenceStale,
    aio.SessionLost,
    aio.Unavailable,
    aio.OutcomeUnknown,
    aio.DeadlineExceeded,
    aio.SessionNotFound,
)

Turn = Callable[[aio.Client, aio.Lock, str], Awaitable[None]]


def say(*words: str) -> None:
    print(*words, flush=True)


async def come(lock: aio.Lock, who: str) -> None:
    await lock.guarded_put(CAME, f"{lock.fence} {who}")


async def plain(client: aio.Client, lock: aio.Lock, who: str) -> None:
    await come(lock, who)
    await lock.guarded_put(WENT, f"{lock.fence} {who}")


async def dying(client: aio.Client, lock: aio.Lock, who: str) -> None:
    await come(lock, who)
    say("holding", who, str(lock.fence))
    await asyncio.Event().wait()


async def try_stale(lock: aio.Lock, who: str) -> None:
    """Makes a write that must be refused."""
    try:
        await lock.guarded_put(STALE, f"{lock.fence} {who}")
    except aio.FenceStale:
        say("refused", who)
    else:
        say("accepted", who)


async def paused(client: aio.Client, lock: aio.Lock, who: str) -> None:
    await come(lock, who)
    say("holding", who, str(lock.fence))
    sys.stdin.readline()  # blocks everything, as a long pause of the machine does
    await try_stale(lock, who)


async def ousted(client: aio.Client, lock: aio.Lock, who: str) -> None:
    assert lock.session is not None
    await come(lock, who)
    async with client.watch(CAME) as watch:
        mine = f"{lock.fence} {who}"
        await client.close_session(lock.session.id)
        while all(event.kv.text == mine for event in (await watch.next(TIMEOUT_S)).events):
            pass
        await try_stale(lock, who)


async def contend(client: aio.Client, who: str, turn: Turn) -> None:
    """Takes one turn, however often it has to begin again."""
    while True:
        lock = client.lock(LOCK, ttl=TTL_S, disconnect_grace=GRACE_S, owner=who)
        try:
            await lock.acquire()
            await turn(client, lock, who)
            if turn is plain:
                # Whether the answer to this comes or not, the turn was had.
                await lock.release()
                say("served", who)
                return
            turn = plain
        except LOSSES as error:
            say("again", who, type(error).__name__, str(error))
        finally:
            await lock.release()


async def main() -> None:
    kind, name, count, endpoints = sys.argv[1:]
    turns: dict[str, Turn] = {"plain": plain, "dying": dying, "paused": paused, "ousted": ousted}
    async with aio.connect(endpoints, timeout_s=TIMEOUT_S) as client:
        await asyncio.gather(
            *(contend(client, f"{name}.{number}", turns[kind]) for number in range(int(count)))
        )


if __name__ == "__main__":
    asyncio.run(main())
