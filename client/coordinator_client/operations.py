"""The operations of a transaction: what `Txn.then` and `Txn.otherwise` take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from coordinator_client import arguments
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
    # What is neither has no id, and is then what the message shows.
    return arguments.whole(getattr(session, "id", session), name)


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
        key = arguments.to_bytes(self.key, "key")
        if not key:
            raise InvalidArgument("the key is empty")
        return kv_pb2.PutRequest(
            key=key,
            value=arguments.to_bytes(self.value, "value"),
            session=owner_id(self.session),
            sequence=arguments.flag(self.sequence, "sequence"),
            prev_kv=arguments.flag(self.prev, "prev"),
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
            limit=arguments.whole(self.limit, "limit"),
            keys_only=arguments.flag(self.keys_only, "keys_only"),
            count_only=arguments.flag(self.count_only, "count_only"),
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
            prev_kv=arguments.flag(self.prev, "prev"),
        )


@dataclass(frozen=True)
class Nested:
    """A transaction within a transaction. Returns a TxnResult."""

    when: tuple[Compare, ...] = ()
    then: tuple[Operation, ...] = ()
    otherwise: tuple[Operation, ...] = ()

    def message(self) -> kv_pb2.TxnRequest:
        """Returns the operation as it travels."""
        return kv_pb2.TxnRequest(
            compares=[compare.message() for compare in self.when],
            success=[_wrap(operation) for operation in self.then],
            failure=[_wrap(operation) for operation in self.otherwise],
        )


Operation = Put | Get | Range | Delete | Nested


def _wrap(operation: Operation) -> kv_pb2.RequestOp:
    match operation:
        case Put():
            return kv_pb2.RequestOp(put=operation.message())
        case Get() | Range():
            return kv_pb2.RequestOp(range=operation.message())
        case Delete():
            return kv_pb2.RequestOp(delete_range=operation.message())
        case Nested():
            return kv_pb2.RequestOp(txn=operation.message())
    raise InvalidArgument(f"{operation!r} is not an operation of a transaction")


def only_reads(operations: Iterable[Operation]) -> bool:
    """Whether none of the operations can change anything."""
    return all(
        isinstance(op, Get | Range)
        or (isinstance(op, Nested) and only_reads((*op.then, *op.otherwise)))
        for op in operations
    )
