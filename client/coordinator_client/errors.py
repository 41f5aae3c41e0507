"""Everything the client raises on purpose.

CoordinatorError
├── RequestRefused            the cluster, or the client itself, said no; nothing was changed
│   ├── InvalidArgument       the request makes no sense; also a ValueError
│   ├── NotFound
│   │   └── SessionNotFound   the session was never opened, was closed, or has expired
│   ├── AlreadyExists
│   │   └── SessionExists     the session id that was asked for is taken
│   ├── Compacted             history does not reach back that far; names the compacted revision
│   ├── FutureRevision        the revision does not exist yet
│   ├── FenceStale            a guarded write came after its lock was lost or given away
│   ├── LimitExceeded         a limit of the cluster was reached
│   └── ClusterMismatch       the endpoint belongs to another cluster than before
├── Unavailable               no node could serve the request in time; nothing was changed
├── DeadlineExceeded          the time allowed ran out; nothing was changed; also a TimeoutError
├── ReplyTooLarge             the request was carried out, but its reply is too large to be sent
├── OutcomeUnknown            a write may or may not have been applied, now or later
├── NoInstance                no instance of a service can be called now
├── SessionLost               the session ended although the program still needed it
└── Closed                    the object was closed before or during the call
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "AlreadyExists",
    "Closed",
    "ClusterMismatch",
    "Compacted",
    "CoordinatorError",
    "DeadlineExceeded",
    "FenceStale",
    "FutureRevision",
    "InvalidArgument",
    "LimitExceeded",
    "NoInstance",
    "NotFound",
    "OutcomeUnknown",
    "ReplyTooLarge",
    "RequestRefused",
    "SessionExists",
    "SessionLost",
    "SessionNotFound",
    "Unavailable",
]


class CoordinatorError(Exception):
    """Root of everything that this package raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        """A sentence for people."""


class RequestRefused(CoordinatorError):
    """The request was refused and changed nothing; sending it again changes nothing about that."""

    def __init__(
        self, message: str, reason: str = "", details: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        """A stable upper-case word for programs, such as SESSION_NOT_FOUND; may be empty."""
        self.details = dict(details or {})
        """String pairs that go with the reason."""


class InvalidArgument(RequestRefused, ValueError):
    """The request makes no sense, or contradicts itself."""


class NotFound(RequestRefused):
    """What the request speaks of does not exist."""


class SessionNotFound(NotFound):
    """The session was never opened, was closed, or has expired."""


class AlreadyExists(RequestRefused):
    """What the request would create exists already."""


class SessionExists(AlreadyExists):
    """The session id that was asked for is taken."""


class Compacted(RequestRefused):
    """History does not reach back to the revision that was asked for."""

    def __init__(
        self,
        message: str,
        compacted_revision: int = 0,
        reason: str = "COMPACTED",
        details: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason, details)
        self.compacted_revision = compacted_revision
        """Revisions up to this one are gone; 0 if the cluster did not say."""


class FutureRevision(RequestRefused):
    """The revision that was asked for does not exist yet."""


class FenceStale(RequestRefused):
    """A guarded write came too late: the lock, permit or leadership that it depends on is not held any more."""


class LimitExceeded(RequestRefused):
    """A limit of the cluster was reached; the message says which."""


class ClusterMismatch(RequestRefused):
    """The endpoint belongs to another cluster than the one that was spoken to before."""


class Unavailable(CoordinatorError):
    """No node could serve the request in time: nodes are down, or no leader is elected.

    A write that ends with this was surely not applied.
    """


class DeadlineExceeded(CoordinatorError, TimeoutError):
    """The time allowed for the call ran out. A write never ends with this (see OutcomeUnknown)."""


class ReplyTooLarge(CoordinatorError):
    """The request was carried out, but its reply is too large to be sent; ask for less at once."""


class OutcomeUnknown(CoordinatorError):
    """A write was sent and its answer got lost: it may or may not have been applied, now or later.

    A numbered write, as clients make them unless told otherwise, ends with this only at its deadline, or when the
    session that numbered it has ended; it is never applied more than once.
    Read before you write again, or guard the write with a compare, so that it can't apply twice.
    """


class SessionLost(CoordinatorError):
    """The session ended although the program had not closed it; its keys are gone, or will be soon."""

    def __init__(self, message: str, session_id: int = 0) -> None:
        super().__init__(message)
        self.session_id = session_id


class NoInstance(CoordinatorError):
    """No instance of a service can be called now: there is none, or none is healthy."""


class Closed(CoordinatorError):
    """The client, session, watch or view was closed before or during the call."""
