"""Exceptions of the server.

CoordinatorError
├── ConfigError           the program was started in a way that can't work; the message says what to change
├── FatalError            this node must stop: going on could break a promise already made
│   ├── DamageError       bytes on disk are not what was written
│   └── MemberRemoved     this node does not belong to its cluster any more
└── RequestError          one request ends with this; carries status, reason and details
    └── OutcomeUnknown    a write may or may not have been applied
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Status(enum.Enum):
    """gRPC status codes that requests end with (https://grpc.github.io/grpc/core/md_doc_statuscodes.html)."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class CoordinatorError(Exception):
    """Root of everything that this package raises on purpose."""


class ConfigError(CoordinatorError):
    """The program was started in a way that can't work; the message is for the person who started it."""


class FatalError(CoordinatorError):
    """The node must stop: going on could break a promise already made to a client or a peer."""


class DamageError(FatalError):
    """Bytes on disk are not what was written; the message names the file and the way out.

    `file` and `offset`, in bytes, say where, as far as that is known.
    """

    def __init__(self, message: str, file: str = "", offset: int | None = None) -> None:
        super().__init__(message)
        self.file = file
        self.offset = offset


class MemberRemoved(FatalError):
    """This node was removed from its cluster: it has nothing to serve."""

    def __init__(self) -> None:
        super().__init__(
            "this member was removed from the cluster; to take part again, empty its data folder and "
            "add it as a new member"
        )


class RequestError(CoordinatorError):
    """One request can't be served.

    `status` is the gRPC status, `reason` a stable upper-case word for programs, `details` string pairs that go with
    the reason, and the message a sentence for people.
    """

    def __init__(
        self, status: Status, reason: str, message: str, details: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = dict(details or {})


class OutcomeUnknown(RequestError):
    """The write may or may not have been applied, now or later."""

    def __init__(self, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(Status.UNKNOWN, "OUTCOME_UNKNOWN", message, details)
