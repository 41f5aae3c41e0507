"""Waiting for a certain change of keys, without polling."""

from __future__ import annotations

from collections.abc import Callable

from coordinator_client import _io_async as io
from coordinator_client import errors, validation
from coordinator_client._async.keys import KeySpace
from coordinator_client.model import EventBatch


def deadline_of(timeout_s: float | None) -> float | None:
    """Returns when a wait of so many seconds is over, by `io.now_s`; None: never."""
    return None if timeout_s is None else io.now_s() + validation.wait(timeout_s)


async def await_change(
    keys: KeySpace,
    key: str,
    revision: int,
    deadline_s: float | None,
    wanted: Callable[[EventBatch], bool],
    *,
    prefix: bool = True,
) -> bool:
    """Waits for a batch after `revision` that is `wanted`, of keys that start with `key`; False: the deadline came.

    True means no more than that it is worth looking again: history may have been compacted, so that nobody knows.
    """
    watch = keys.watch(key, prefix=prefix, start_revision=revision + 1)
    try:
        while True:
            left_s = None if deadline_s is None else deadline_s - io.now_s()
            if left_s is not None and left_s <= 0:
                return False
            if wanted(await watch.next(left_s)):
                return True
    except errors.DeadlineExceeded:
        return False
    except errors.Compacted:
        return True
    finally:
        await watch.close()
