"""A transaction under construction."""

from __future__ import annotations

from typing import Self

from coordinator_client import calls
from coordinator_client._async.connection import Connection
from coordinator_client._async.writes import Writes
from coordinator_client.compares import Compare
from coordinator_client.errors import InvalidArgument
from coordinator_client.model import TxnResult
from coordinator_client.operations import Nested, Operation, only_reads


class Txn:
    """Compares and operations that the cluster runs as one; made by `Client.txn`.

    Each method returns the transaction itself, so that calls can be chained; nothing is sent before `commit`.
    """

    def __init__(self, connection: Connection, writes: Writes) -> None:
        self._connection = connection
        self._writes = writes
        self._nested = Nested()

    def when(self, *compares: Compare) -> Self:
        """Adds conditions, all of which must hold for `then` to run."""
        for compare in compares:
            if not isinstance(compare, Compare):
                raise InvalidArgument(f"{compare!r} is not a compare such as Key('a').version == 1")
        self._nested = Nested(
            self._nested.when + compares, self._nested.then, self._nested.otherwise
        )
        return self

    def then(self, *operations: Operation) -> Self:
        """Adds operations that run if all conditions hold."""
        self._nested = Nested(
            self._nested.when, self._nested.then + operations, self._nested.otherwise
        )
        return self

    def otherwise(self, *operations: Operation) -> Self:
        """Adds operations that run if a condition does not hold."""
        self._nested = Nested(
            self._nested.when, self._nested.then, self._nested.otherwise + operations
        )
        return self

    async def commit(self, *, timeout_s: float | None = None) -> TxnResult:
        """Runs the transaction, atomically and in one revision.

        Raises OutcomeUnknown if it writes and its answer got lost, SessionNotFound, InvalidArgument or LimitExceeded.
        """
        request = self._nested.message()
        if only_reads((*self._nested.then, *self._nested.otherwise)):
            reply = await self._connection.call(calls.TXN, request, safe=True, timeout_s=timeout_s)
        else:
            reply = await self._writes.call(calls.TXN, request, timeout_s)
        return calls.txn_result(self._nested, reply, reply.header.revision)
