"""Whose turn it is: the layout of locks, semaphores and elections, and what a contender has to wait for.

    /locks/<name>/write-<token>              holds or waits for a lock, alone
    /locks/<name>/read-<token>               holds or waits for a lock, together with other readers
    /semaphores/<name>/<permits>-<token>     holds or waits for one of so many permits
    /elections/<name>/candidate-<token>      leads or waits for it; the value is what the candidate proclaims

Each key belongs to a session of its own. The order of the contenders is that of the revisions at which their keys were
created, and the fence of a holder is that revision. docs/recipes.md specifies all this.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from coordinator_client import validation
from coordinator_client.compares import Compare, Prefix
from coordinator_client.errors import InvalidArgument
from coordinator_client.model import EventBatch, KeyValue

__all__ = ["Exclusive", "Leader", "LeaderTable", "Permits", "Rule", "Shared", "Wait"]

LOCKS = "/locks/"
SEMAPHORES = "/semaphores/"
ELECTIONS = "/elections/"

NAME_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:-]{0,127}")
NAME_RULE = '1 to 128 letters, digits, ".", "_", ":" and "-", the first a letter, a digit or "_"'
PERMITS_MAX = 1_000_000
TOKEN_SIZE_BYTES = 8


def prefix_of(root: str, name: str) -> bytes:
    """Returns what the keys of all contenders begin with; raises InvalidArgument for a name that can't be used."""
    if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
        raise InvalidArgument(f"name is {validation.shown(name)}, not {NAME_RULE}")
    return f"{root}{name}/".encode()


def make_key(prefix: bytes, rule: Rule) -> bytes:
    """Returns a key for a new contender, which nobody else will use."""
    return prefix + f"{rule.label}-{secrets.token_hex(TOKEN_SIZE_BYTES)}".encode()


def describe_program() -> str:
    """Returns what people may know this program by: its host and the number of its process."""
    return f"{socket.gethostname()} pid {os.getpid()}"


@dataclass(frozen=True)
class Wait:
    """What a contender waits for: that at most `rest` of `keys` are left."""

    key: bytes
    """What to watch for deletes."""
    prefix: bool
    """Whether all keys are to be watched that begin so."""
    keys: frozenset[bytes]
    rest: int


class Rule(Protocol):
    """How a contender shares with the others."""

    @property
    def label(self) -> str:
        """What its key begins with, after the prefix."""
        ...

    def wait_for(self, prefix: bytes, ahead: Sequence[KeyValue]) -> Wait | None:
        """Returns what to wait for before looking again, None if it is the contender's turn.

        `ahead`: the contenders before it, in their order.
        """
        ...

    def turn(self, prefix: bytes, fence: int) -> Compare | None:
        """Returns a condition under which it is the turn of the one with this fence, while its key stands.

        It may be its turn otherwise, too. None: there is no such condition.
        """
        ...


@dataclass(frozen=True)
class Exclusive:
    """Its turn comes when nobody is ahead; it waits for its predecessor alone, so that no release wakes many."""

    label: str = "write"

    def wait_for(self, prefix: bytes, ahead: Sequence[KeyValue]) -> Wait | None:
        """Waits for the last one ahead."""
        return _gone(ahead[-1]) if ahead else None

    def turn(self, prefix: bytes, fence: int) -> Compare | None:
        """Nobody stood there before it."""
        return Prefix(prefix).create_revision >= fence


@dataclass(frozen=True)
class Shared:
    """Its turn comes when no writer is ahead."""

    label: str = "read"

    def wait_for(self, prefix: bytes, ahead: Sequence[KeyValue]) -> Wait | None:
        """Waits for the last writer ahead; readers ahead do no harm."""
        readers = prefix + self.label.encode() + b"-"
        writers = [kv for kv in ahead if not kv.key.startswith(readers)]
        return _gone(writers[-1]) if writers else None

    def turn(self, prefix: bytes, fence: int) -> Compare | None:
        """Readers ahead do no harm, and no compare leaves them out."""
        return None


@dataclass(frozen=True)
class Permits:
    """Its turn comes when fewer than `permits` are ahead."""

    permits: int

    @property
    def label(self) -> str:
        """The number of permits, on which all contenders must agree."""
        return str(self.permits)

    def wait_for(self, prefix: bytes, ahead: Sequence[KeyValue]) -> Wait | None:
        """Waits until enough of those ahead are gone, whichever they are.

        Raises InvalidArgument if one of them speaks of another number of permits.
        """
        for kv in ahead:
            found = kv.key[len(prefix) :].partition(b"-")[0].decode(errors="backslashreplace")
            if found != self.label:
                raise InvalidArgument(
                    f"permits is {self.permits}, but another program says {found}: {kv.name}"
                )
        if len(ahead) < self.permits:
            return None
        return Wait(prefix, True, frozenset(kv.key for kv in ahead), self.permits - 1)

    def turn(self, prefix: bytes, fence: int) -> Compare | None:
        """Compares can't count."""
        return None


def _gone(kv: KeyValue) -> Wait:
    return Wait(kv.key, False, frozenset((kv.key,)), 0)


def check_permits(permits: int) -> Permits:
    """Returns the rule of a semaphore; raises InvalidArgument."""
    if validation.whole(permits, "permits", at_least=1) > PERMITS_MAX:
        raise InvalidArgument(f"permits is {permits}, more than {PERMITS_MAX}")
    return Permits(permits)


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads an election."""

    key: bytes
    """The key that stands as long as it leads."""
    value: bytes
    """What it proclaims."""
    fence: int
    """A number that is greater for every later leader."""
    session: int
    """The session that the leadership hangs on."""

    @property
    def text(self) -> str:
        """The value as UTF-8 text; raises UnicodeDecodeError if it is not."""
        return self.value.decode()


class LeaderTable:
    """Who leads, as told by a watch that began with a snapshot."""

    def __init__(self) -> None:
        self._candidates: dict[bytes, KeyValue] = {}
        self.leader: Leader | None = None
        """None while there is no candidate."""

    def apply(self, batch: EventBatch) -> bool:
        """Takes what happened; returns whether that changed the leader or what it proclaims."""
        if batch.snapshot:
            self._candidates = {kv.key: kv for kv in batch.kvs}
        for event in batch.events:
            if event.is_put:
                self._candidates[event.key] = event.kv
            else:
                self._candidates.pop(event.key, None)
        before, self.leader = self.leader, leader_of(self._candidates.values())
        return before != self.leader


def leader_of(candidates: Iterable[KeyValue]) -> Leader | None:
    """Returns who leads among the candidates; None if there are none."""
    first = min(candidates, key=lambda kv: kv.create_revision, default=None)
    if first is None:
        return None
    return Leader(first.key, first.value, first.create_revision, first.session)
