"""The transactions of `coordinator.v1.Registry`, and how those are made that depend on what others write meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coordinator.api import render
from coordinator.api.window import check_window
from coordinator.catalog.definitions import encode_state, state_kept
from coordinator.catalog.instances import parse_state
from coordinator.errors import RequestError, Status
from coordinator.node.interface import Node
from coordinator.state.commands import (
    Compare,
    DeleteRange,
    Operator,
    Put,
    Range,
    RequestId,
    Selector,
    Target,
    Txn,
    Write,
)
from coordinator.state.model import Cause, KeyValue
from coordinator.state.results import Failure, RangeResult, TxnResult

ATTEMPTS_MAX = 10
"""Of a write that depends on a key that others change."""


Found = tuple[KeyValue | None, ...]


@dataclass(frozen=True)
class Dependent:
    """A write that depends on what some keys hold."""

    keys: tuple[bytes, ...]
    make: Callable[[Found], Txn]
    """Makes the transaction for the keys as they were found; its other branch reads them all."""
    needed: bool
    """Whether nothing can be written without the first of them."""


@dataclass(frozen=True)
class Written:
    """What became of a write."""

    revision: int
    result: TxnResult

    @property
    def found(self) -> Found:
        """The keys that the other branch of the transaction read."""
        looks = [look for look in self.result.responses if isinstance(look, RangeResult)]
        return tuple(look.kvs[0] if look.kvs else None for look in looks)


class RegistryWrites:
    """Runs transactions."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def run(self, txn: Txn, request_id: RequestId | None, deadline: float) -> Written:
        """Runs a transaction. Raises RequestError."""
        check_window(self._node, request_id)
        outcome = await self._node.propose(Write(txn, request_id), deadline)
        if isinstance(outcome.result, Failure):
            raise render.error(outcome.result)
        assert isinstance(outcome.result, TxnResult)
        return Written(outcome.revision, outcome.result)

    async def run_dependent(
        self, write: Dependent, request_id: RequestId | None, deadline: float
    ) -> Written | None:
        """Runs a write until it met its keys as they were found; None: one is needed, and not there.

        A numbered write is tried once, as its number stands for one outcome.
        """
        # What this member knows will do where another attempt can follow.
        await self._node.read(local=request_id is None, min_revision=0, deadline=deadline)
        found = tuple(map(self._look, write.keys))
        for _ in range(1 if request_id else ATTEMPTS_MAX):
            written = await self.run(write.make(found), request_id, deadline)
            if written.result.succeeded:
                return written
            # As they are where the write stands in the log.
            found = written.found
            if write.needed and found[0] is None:
                return None
        raise RequestError(
            Status.ABORTED,
            "INSTANCE_CHANGED",
            "others changed the instance meanwhile; try again, a numbered write under a new number",
            {"applied": "no"},
        )

    def _look(self, key: bytes) -> KeyValue | None:
        looked = self._node.state.range(Range(Selector(key)))
        return looked.kvs[0] if isinstance(looked, RangeResult) and looked.kvs else None


def registration(definition: Put, state: Put) -> Txn:
    """Writes both keys of an instance."""
    return Txn((), (definition, state))


def registration_keeping_state(definition: Put, state: Put) -> Dependent:
    """Writes both keys of an instance, but keeps the state that is there."""

    def make(found: Found) -> Txn:
        (before,) = found
        value = state.value if before is None else state_kept(before.value, state.value)
        return Txn(
            (_unchanged(state.key, before),),
            (definition, Put(state.key, value, state.session)),
            (Range(Selector(state.key)),),
        )

    return Dependent((state.key,), make, needed=False)


def change_of_state(definition: bytes, state: bytes, status: str, note: str) -> Dependent:
    """Writes the state of an instance that there is, under the session of its definition.

    One whose session is over stays marked as such, whatever is said of it.
    """

    def make(found: Found) -> Txn:
        instance, before = found
        session = 0 if instance is None else instance.session
        guarded = before is not None and parse_state(before.value).guarded
        return Txn(
            (
                _equal(definition, Target.EXISTS, 1),
                _equal(definition, Target.SESSION, session),
                _unchanged(state, before),
            ),
            (Put(state, encode_state(status, note, guarded=guarded), session),),
            (Range(Selector(definition)), Range(Selector(state))),
        )

    return Dependent((definition, state), make, needed=True)


def removal(definition: bytes, others: tuple[Selector, ...], session: int) -> Txn:
    """Deletes the definition of an instance and its other keys, if it is there and the session's (0: anybody's)."""
    cause = Cause.DELETED if session else Cause.DEREGISTERED
    compares = [_equal(definition, Target.EXISTS, 1)]
    if session:
        compares.append(_equal(definition, Target.SESSION, session))
    return Txn(
        tuple(compares),
        (
            DeleteRange(Selector(definition), prev_kv=True, cause=cause),
            *(DeleteRange(other, cause=cause) for other in others),
        ),
        (Range(Selector(definition)),),
    )


def _unchanged(key: bytes, found: KeyValue | None) -> Compare:
    return _equal(key, Target.MOD_REVISION, 0 if found is None else found.mod_revision)


def _equal(key: bytes, target: Target, operand: int) -> Compare:
    return Compare(Selector(key), Operator.EQUAL, target, operand)
