"""The operations of a transaction: what `Txn.then` and `Txn.otherwise` take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from coordinator_client import validation
from coordinator_client.compares import Compare, selector
from coordinator_client.errors import InvalidArgument
from coordinator_client.pb import kv_pb2

__all__ = ["Delete", "Get", "Nested", "Operation", "Owner", "Put", "Range", "owner_id"]


class Owner(Protocol):
    """Anything that stands for a session: an open session of either face."""

    @property
    def id(self) -> int:
        """The session id."""
        ...


def owner_id(session: Owner | int | None, name: str = "session") -> int:
    """Returns the id of a session that was given as itself or as its id; 0 for None."""
    if session is None:
        return 0
    try:
        number = session if isinstance(session, int) else session.id
    except AttributeError:
        shown = validation.shown(session)
        raise InvalidArgument(f"{name} is {shown}, neither a session nor an id") from None
    if number == 0 and not isinstance(session, int):
        # The key would be written for good, which nobody who names a session means.
        raise InvalidArgument(f"{name} is not open")
    return validation.whole(number, name)


@dataclass(frozen=True)
class Put:
    """Writes a key. Returns a PutResult."""

    key: str | bytes
    value: str | bytes = b""
    session: Owner | int | None = None
    sequence: bool = False
    prev: bool = False

    def message(self) -> kv_pb2.PutRequest:
        """Returns the operation as it travels."""
        key = validation.to_bytes(self.key, "key")
        if not key:
            raise InvalidArgument("the key is empty")
        return kv_pb2.PutRequest(
            key=key,
            value=validation.to_bytes(self.value, "value"),
            session=owner_id(self.session),
            sequence=validation.flag(self.sequence, "sequence"),
            prev_kv=validation.flag(self.prev, "prev"),
        )


@dataclass(frozen=True)
class Get:
    """Reads one key. Returns a KeyValue, or None."""

    key: str | bytes

    def message(self) -> kv_pb2.RangeRequest:
        """Returns the operation as it travels."""
        return kv_pb2.RangeRequest(selector=selector(self.key))


@dataclass(frozen=True)
class Range:
    """Reads many keys. Returns a RangeResult."""

    key: str | bytes
    prefix: bool = False
    range_end: str | bytes | None = None
    limit: int = 0
    keys_only: bool = False
    count_only: bool = False

    def message(self) -> kv_pb2.RangeRequest:
        """Returns the operation as it travels."""
        return kv_pb2.RangeRequest(
            selector=selector(self.key, prefix=self.prefix, range_end=self.range_end),
            limit=validation.whole(self.limit, "limit"),
            keys_only=validation.flag(self.keys_only, "keys_only"),
            count_only=validation.flag(self.count_only, "count_only"),
        )


@dataclass(frozen=True)
class Delete:
    """Deletes one key or many. Returns a DeleteResult."""

    key: str | bytes
    prefix: bool = False
    range_end: str | bytes | None = None
    prev: bool = False

    def message(self) -> kv_pb2.DeleteRangeRequest:
        """Returns the operation as it travels."""
        return kv_pb2.DeleteRangeRequest(
            selector=selector(self.key, prefix=self.prefix, range_end=self.range_end),
            prev_kv=validation.flag(self.prev, "prev"),
        )


NESTED_DEPTH_MAX = 32
"""Transactions within each other; more does not fit into a message of protobuf (100 levels, 3 for each)."""


@dataclass(frozen=True)
class Nested:
    """A transaction within a transaction. Returns a TxnResult."""

    when: tuple[Compare, ...] = ()
    then: tuple[Operation, ...] = ()
    otherwise: tuple[Operation, ...] = ()

    def message(self, depth: int = 1) -> kv_pb2.TxnRequest:
        """Returns the operation as it travels; `depth` counts the transactions around it, itself included."""
        if depth > NESTED_DEPTH_MAX:
            raise InvalidArgument(f"more than {NESTED_DEPTH_MAX} transactions within each other")
        for name in ("when", "then", "otherwise"):
            if not isinstance(getattr(self, name), tuple | list):
                raise InvalidArgument(f"{name} is not a tuple; (x,) is one of a single item")
        for compare in self.when:
            if not isinstance(compare, Compare):
                raise InvalidArgument(f"when has {validation.shown(compare)}, not a compare")
        return kv_pb2.TxnRequest(
            compares=[compare.message() for compare in self.when],
            success=[_wrap(operation, depth) for operation in self.then],
            failure=[_wrap(operation, depth) for operation in self.otherwise],
        )


Operation = Put | Get | Range | Delete | Nested


def _wrap(operation: Operation, depth: int) -> kv_pb2.RequestOp:
    match operation:
        case Put():
            return kv_pb2.RequestOp(put=operation.message())
        case Get() | Range():
            return kv_pb2.RequestOp(range=operation.message())
        case Delete():
            return kv_pb2.RequestOp(delete_range=operation.message())
        case Nested():
            return kv_pb2.RequestOp(txn=operation.message(depth + 1))
    raise InvalidArgument(f"{validation.shown(operation)} is not an operation of a transaction")


def only_reads(operations: Iterable[Operation]) -> bool:
    """Whether none of the operations can change anything."""
    return all(
        isinstance(op, Get | Range)
        or (isinstance(op, Nested) and only_reads((*op.then, *op.otherwise)))
        for op in operations
    )
