# Generated from coordinator_client/_async/writes.py by scripts/unasync.py; edit that file instead.
"""How writes are made when they are not numbered, and what the ways to make them have in common."""

from __future__ import annotations

from coordinator_client._sync.connection import Connection
from coordinator_client.calls import Method, Reply, Request


class Writes:
    """Makes writes that carry no number: each is sent again only if it was surely not applied."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def call(
        self, method: Method[Request, Reply], request: Request, timeout_s: float | None = None
    ) -> Reply:
        """Makes a write; raises Unavailable, OutcomeUnknown, or what the cluster's refusal means.

        The request, which must have a field `request`, belongs to this call from now on.
        """
        return self._connection.call(method, request, safe=False, timeout_s=timeout_s)

    def close(self) -> None:
        """Lets go of what the writes needed; no write is made from now on."""
