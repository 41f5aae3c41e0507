"""What may be kept of sessions whose time is up: the question that a leader asks before it proposes their end.

Sessions always end by their rule. A policy only names keys that are to outlive them for a while, under a session of the
cluster's own that no client can keep alive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from coordinator.state.commands import Heir, Keep
from coordinator.state.machine import StateMachine
from coordinator.state.model import Cause, Session

SYSTEM_PREFIX = "coordinator."
"""Of the metadata keys that only sessions of the cluster's own have."""


@dataclass(frozen=True)
class Inheritance:
    """Keys that are kept, and the sessions that take them over."""

    heirs: tuple[Heir, ...] = ()
    kept: tuple[Keep, ...] = ()


class ExpiryPolicy(Protocol):
    """Decides on the leader; what it decides travels in the command that ends the sessions. Must be quick."""

    def judge(self, state: StateMachine, ids: Sequence[int], now_s: float) -> None:
        """All these sessions are to end now, at this time of the event loop; `keep` is asked about them next."""
        ...

    def keep(self, state: StateMachine, ids: Sequence[int], cause: Cause) -> Inheritance:
        """Returns what is to be kept of some of them. Asked again if it is not known what an attempt came to."""
        ...

    def settled(self, state: StateMachine, id: int) -> None:
        """A session that was judged is not about to end any more: it has ended, or does not end now."""
        ...


class KeepNothing:
    """The policy of a node that has no other."""

    def judge(self, state: StateMachine, ids: Sequence[int], now_s: float) -> None: ...

    def keep(self, state: StateMachine, ids: Sequence[int], cause: Cause) -> Inheritance:
        return Inheritance()

    def settled(self, state: StateMachine, id: int) -> None: ...


def is_system(session: Session) -> bool:
    """Whether a session is the cluster's own: nobody keeps it alive, so that it ends when its TTL is over."""
    return any(key.startswith(SYSTEM_PREFIX) for key, _ in session.metadata)
