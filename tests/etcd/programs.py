"""Random programs of etcd's API: the same seed gives the same calls."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from coordinator.gateways.etcd.pb import kv_pb2, lease_pb2

KV, LEASE = "etcdserverpb.KV", "etcdserverpb.Lease"
LETTERS = b"abcde"
TARGETS = ("KEY", "VERSION", "CREATE", "MOD", "VALUE")
END = b"}"
"""A key of the program after all others: the last one that is written."""
WHOLE = b"~"
"""The end of the range that holds all keys of a program."""


@dataclass(frozen=True)
class Step:
    """One call."""

    method: str
    request: Any


@dataclass(frozen=True)
class WatchPlan:
    """A watch that is opened before the first step, or after the last, when `start` lies in the past."""

    key: bytes
    range_end: bytes
    prev_kv: bool
    filters: tuple[int, ...]
    start: int = 0
    """Revisions after the one at which the program began; 0: it is opened before."""


@dataclass
class Program:
    """What is done to both servers."""

    seed: int
    prefix: bytes
    steps: list[Step] = field(default_factory=list)
    watches: list[WatchPlan] = field(default_factory=list)


class Writer:
    """Writes one program, which begins at a revision."""

    def __init__(self, seed: int, revision: int) -> None:
        self._random = random.Random(seed)
        self._revision = revision
        self._leases = [seed * 10 + n for n in range(1, 4)]
        self._prefix = b"p%d/" % seed

    def write(self) -> Program:
        chance = self._random
        program = Program(chance.randrange(1 << 30), self._prefix)
        for _ in range(chance.randint(5, 30)):
            program.steps.append(self._step())
        end = kv_pb2.PutRequest(key=self._prefix + END)
        program.steps.append(Step(f"{KV}/Put", end))
        program.watches = [self._watch() for _ in range(chance.randint(1, 3))]
        return program

    def _step(self) -> Step:
        chance = self._random.random()
        if chance < 0.30:
            return Step(f"{KV}/Put", self._put())
        if chance < 0.40:
            return Step(f"{KV}/DeleteRange", self._delete())
        if chance < 0.60:
            return Step(f"{KV}/Range", self._range())
        if chance < 0.85:
            return Step(f"{KV}/Txn", self._whole_txn())
        if chance < 0.87:
            revision = self._revision + self._random.randint(-2, 12)
            return Step(f"{KV}/Compact", kv_pb2.CompactionRequest(revision=revision))
        return self._lease()

    def _lease(self) -> Step:
        id = self._random.choice(self._leases)
        kind = self._random.choice(("Grant", "Grant", "Revoke", "TimeToLive"))
        if kind == "Grant":
            request: Any = lease_pb2.LeaseGrantRequest(
                ID=id, TTL=self._random.choice((100_000, 300_000))
            )
        elif kind == "Revoke":
            request = lease_pb2.LeaseRevokeRequest(ID=id)
        else:
            request = lease_pb2.LeaseTimeToLiveRequest(ID=id, keys=True)
        return Step(f"{LEASE}/Lease{kind}", request)

    # --- requests -----------------------------------------------------------------------------------

    def _key(self) -> bytes:
        return self._prefix + bytes((self._random.choice(LETTERS),))

    def _span(self) -> tuple[bytes, bytes]:
        """Returns key and range_end: of one key, of some, of all, of none."""
        chance = self._random.random()
        if chance < 0.4:
            return self._key(), b""
        if chance < 0.7:
            return self._key(), self._key()
        return self._prefix, self._prefix + WHOLE

    def _some(self, **fields: Any) -> dict[str, Any]:
        """Returns each of the fields with little chance."""
        return {name: value for name, value in fields.items() if self._random.random() < 0.15}

    def _put(self) -> kv_pb2.PutRequest:
        chosen = self._some(
            lease=self._random.choice(self._leases),
            prev_kv=True,
            ignore_value=True,
            ignore_lease=True,
        )
        value = b"" if "ignore_value" in chosen and self._random.random() < 0.8 else self._value()
        if "ignore_lease" in chosen and self._random.random() < 0.8:
            chosen.pop("lease", None)
        key = b"" if self._random.random() < 0.01 else self._key()
        return kv_pb2.PutRequest(key=key, value=value, **chosen)

    def _value(self) -> bytes:
        return b"%d" % self._random.randint(0, 3)

    def _delete(self) -> kv_pb2.DeleteRangeRequest:
        key, end = self._span()
        return kv_pb2.DeleteRangeRequest(key=key, range_end=end, **self._some(prev_kv=True))

    def _near(self) -> int:
        """Returns a revision about those of the program."""
        return self._revision + self._random.randint(-1, 15)

    def _range(self) -> kv_pb2.RangeRequest:
        key, end = self._span()
        order = self._random.choice(("NONE", "NONE", "ASCEND", "DESCEND"))
        chosen = self._some(
            limit=self._random.randint(1, 4),
            revision=self._near(),
            serializable=True,
            keys_only=True,
            count_only=True,
            min_mod_revision=self._near(),
            max_mod_revision=self._near(),
            min_create_revision=self._near(),
            max_create_revision=self._near(),
        )
        # Without an order, what is sorted depends on where an etcd's limit cuts.
        target = self._random.choice(TARGETS) if order != "NONE" else "KEY"
        return kv_pb2.RangeRequest(
            key=key, range_end=end, sort_order=order, sort_target=target, **chosen
        )

    def _whole_txn(self) -> kv_pb2.TxnRequest:
        """Returns a transaction that does not delete what an inner one before put.

        An etcd lets that pass, and a key then changes twice in one revision; ours refuses it (docs/etcd.md).
        """
        while True:
            request = self._txn(2)
            if not any(_deletes_what_it_put(ops) for ops in (request.success, request.failure)):
                return request

    def _txn(self, depth: int) -> kv_pb2.TxnRequest:
        chance = self._random
        return kv_pb2.TxnRequest(
            compare=[self._compare() for _ in range(chance.choice((0, 1, 1, 2)))],
            success=[self._op(depth) for _ in range(chance.randint(0, 3))],
            failure=[self._op(depth) for _ in range(chance.randint(0, 2))],
        )

    def _op(self, depth: int) -> kv_pb2.RequestOp:
        chance = self._random.random()
        if chance < 0.40:
            return kv_pb2.RequestOp(request_put=self._put())
        if chance < 0.55:
            return kv_pb2.RequestOp(request_delete_range=self._delete())
        if chance < 0.80 or not depth:
            return kv_pb2.RequestOp(request_range=self._range())
        return kv_pb2.RequestOp(request_txn=self._txn(depth - 1))

    def _compare(self) -> kv_pb2.Compare:
        key, end = self._span()
        target = self._random.choice(
            ("version", "create_revision", "mod_revision", "value", "lease")
        )
        operands: dict[str, Any] = {
            "version": self._random.randint(0, 3),
            "create_revision": self._random.choice((0, self._near())),
            "mod_revision": self._random.choice((0, self._near())),
            "value": self._value(),
            "lease": self._random.choice((0, *self._leases)),
        }
        kinds = {"create_revision": "CREATE", "mod_revision": "MOD"}
        return kv_pb2.Compare(
            key=key,
            range_end=end,
            result=self._random.choice(("EQUAL", "GREATER", "LESS", "NOT_EQUAL")),
            target=kinds.get(target, target.upper()),
            **{target: operands[target]},
        )

    def _watch(self) -> WatchPlan:
        chance = self._random
        past = chance.random() < 0.4
        # What begins in the past must hold the last key, or its end could not be told.
        key, end = (self._prefix, self._prefix + WHOLE) if past else self._span()
        return WatchPlan(
            key,
            end,
            prev_kv=chance.random() < 0.5,
            filters=chance.choice(((), (), (0,), (1,))) if not past else chance.choice(((), (1,))),
            start=chance.randint(1, 6) if past else 0,
        )


def _deletes_what_it_put(ops: Sequence[kv_pb2.RequestOp]) -> bool:
    put: set[bytes] = set()
    for op in ops:
        inner = op.request_txn
        for branch in (inner.success, inner.failure):
            if _deletes_what_it_put(branch):
                return True
        keys, spans = _changes([op])
        if any(_within(key, span) for key in put for span in spans):
            return True
        put |= keys
    return False


def _changes(ops: Iterable[kv_pb2.RequestOp]) -> tuple[set[bytes], list[tuple[bytes, bytes]]]:
    """Returns the keys that are put and the spans that are deleted, in any branch."""
    keys: set[bytes] = set()
    spans: list[tuple[bytes, bytes]] = []
    for op in ops:
        kind = op.WhichOneof("request")
        if kind == "request_put":
            keys.add(op.request_put.key)
        elif kind == "request_delete_range":
            spans.append((op.request_delete_range.key, op.request_delete_range.range_end))
        elif kind == "request_txn":
            inner = _changes([*op.request_txn.success, *op.request_txn.failure])
            keys |= inner[0]
            spans += inner[1]
    return keys, spans


def _within(key: bytes, span: tuple[bytes, bytes]) -> bool:
    first, end = span
    return first <= key < end if end else key == first
