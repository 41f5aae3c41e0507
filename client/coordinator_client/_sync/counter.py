# Generated from coordinator_client/_async/counter.py by scripts/unasync.py; edit that file instead.
"""A number that many count on."""

from __future__ import annotations

import random

from coordinator_client import _io_sync as io
from coordinator_client import counts, errors, validation
from coordinator_client._sync.keys import KeySpace
from coordinator_client.compares import Key
from coordinator_client.model import KeyValue
from coordinator_client.operations import Get, Put

PAUSE_S_MAX = 0.1


class Counter:
    """A whole number in the cluster, 0 until somebody adds to it; made by `Client.counter`.

    It is kept as decimal text in the key /counters/<name>, between -2**63 and 2**63 - 1.
    """

    def __init__(self, keys: KeySpace, name: str, timeout_s: float) -> None:
        self._keys = keys
        self._name = validation.name(name, "counter")
        self._timeout_s = timeout_s
        self._seen: tuple[int, int] = (0, 0)
        """Revision and value that the next write is tried on; what is wrong with them, the cluster will tell."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}>"

    @property
    def name(self) -> str:
        """The name of the counter."""
        return self._name

    @property
    def key(self) -> str:
        """The key that holds it."""
        return f"/counters/{self._name}"

    def get(self, *, timeout_s: float | None = None) -> int:
        """Returns the number as it is now; raises InvalidArgument if the key holds something else."""
        return self._note(self._keys.get(self.key, timeout_s=timeout_s))

    def add(self, n: int = 1, *, timeout_s: float | None = None) -> int:
        """Adds `n`, which may be negative, and returns the sum; each sum is returned to one caller only, unless n is 0.

        Takes at most `timeout_s` seconds, by default as long as any call. Raises Unavailable if it was surely not
        added, and OutcomeUnknown if it may have been, or may be yet: it is never added twice. Raises InvalidArgument if
        the sum is out of range, or if the key holds no number.
        """
        counts.check_step(n)
        timeout_s = self._timeout_s if timeout_s is None else validation.timeout(timeout_s)
        deadline_s = io.now_s() + timeout_s
        pause_s_max = 0.002
        while True:
            revision, value = self._seen
            left_s = deadline_s - io.now_s()
            if left_s <= 0:
                raise errors.Unavailable(
                    f"others counted on {self.key} all the time; nothing was added"
                )
            txn = self._keys.txn().when(Key(self.key).mod_revision == revision)
            # What does not fit to what was seen last is told only when that is what the cluster holds.
            total = counts.sum_of(value, n)
            txn.then(Get(self.key) if total is None else Put(self.key, str(total)))
            result = txn.otherwise(Get(self.key)).commit(timeout_s=left_s)
            if not result.succeeded:
                (found,) = result.responses
                self._note(found if isinstance(found, KeyValue) else None)
                # Who lost against others lets them go ahead; somebody wins each time.
                io.Flag().wait(random.uniform(0.0, pause_s_max))
                pause_s_max = min(pause_s_max * 2, PAUSE_S_MAX)
            elif total is None:
                raise errors.InvalidArgument(
                    f"{self.key} is {value}, and with {n} it would not be within 64 bits"
                )
            else:
                self._seen = (result.revision, total)
                return total

    def _note(self, kv: KeyValue | None) -> int:
        seen = (0, 0) if kv is None else (kv.mod_revision, counts.parse(self.key, kv.value))
        self._seen = seen
        return seen[1]
