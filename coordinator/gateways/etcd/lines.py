"""Keys that callers of locks and elections leave behind each other: who stands first, and how others wait for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from coordinator.errors import RequestError, Status
from coordinator.gateways.etcd import errors
from coordinator.gateways.etcd.lease import open_session
from coordinator.node.interface import Node
from coordinator.node.watches import Compacted, Filter
from coordinator.rpc import Bidi, Call, Service, Unary
from coordinator.state.commands import (
    Compare,
    DeleteRange,
    Operator,
    Order,
    Put,
    Range,
    Selector,
    Target,
    Txn,
    Write,
)
from coordinator.state.model import KeyValue
from coordinator.state.results import Failure, Outcome, RangeResult, TxnResult
from coordinator.state.view import with_prefix

TTL_S = 60
"""Of the lease that is granted to a caller who names none, and that nobody keeps alive."""

CLEANUP_S = 5.0
"""How long the key of a caller who went away is tried to be deleted; after that its lease decides."""

_leaving: set[asyncio.Task[None]] = set()
"""Keeps tasks that nobody waits for."""


def as_from_a_client(name: str, methods: tuple[Unary | Bidi, ...]) -> Service:
    """Returns a service whose refusals have no code: an etcd is a client of itself in these, and loses it."""
    return Service(
        name,
        tuple(
            Unary(m.name, m.request, m.response, _without_code(m.call))
            if isinstance(m, Unary)
            else m
            for m in methods
        ),
    )


def _without_code(
    method: Callable[[Call, Any], Awaitable[Any]],
) -> Callable[[Call, Any], Awaitable[Any]]:
    async def run(call: Call, request: Any) -> Any:
        try:
            return await method(call, request)
        except errors.EtcdError as error:
            raise RequestError(Status.UNKNOWN, error.reason, error.message) from None

    return run


def prefix_of(name: bytes) -> bytes:
    """Returns what the keys of all who stand in line for a name begin with."""
    return name + b"/"


async def propose(node: Node, write: Write, deadline: float) -> Outcome:
    """Carries out a write. Raises EtcdError, or the node's errors."""
    outcome = await node.propose(write, deadline)
    if isinstance(outcome.result, Failure):
        raise errors.error(outcome.result)
    return outcome


async def stand_in_line(
    node: Node, name: bytes, lease: int, value: bytes, deadline: float
) -> tuple[KeyValue, int, int]:
    """Creates the key of a caller, or finds that it is there; returns it, its lease and the revision."""
    if not lease:
        lease, _ = await open_session(node, 0, TTL_S, deadline)
    key = prefix_of(name) + b"%x" % lease
    absent = Compare(Selector(key), Operator.EQUAL, Target.CREATE_REVISION, 0)
    get = Range(Selector(key))
    outcome = await propose(
        node, Write(Txn((absent,), (Put(key, value, lease), get), (get,))), deadline
    )
    assert isinstance(outcome.result, TxnResult)
    found = outcome.result.responses[-1]
    assert isinstance(found, RangeResult)
    return found.kvs[0], lease, outcome.revision


async def wait_for_turn(node: Node, name: bytes, mine: KeyValue) -> bool:
    """Returns when no older key of the name is left: whether the key is still there then."""
    prefix = prefix_of(name)
    everyone = with_prefix(prefix)
    while (older := _next_older(node, everyone, mine)) is not None:
        await wait_for_end(node, older)
    # Its lease may have ended elsewhere, while this member was cut off.
    timeout_s = node.timing.request_timeout_ms_default / 1000
    deadline = asyncio.get_running_loop().time() + timeout_s
    await node.read(local=False, min_revision=0, deadline=deadline)
    kv = _get(node, mine.key)
    return kv is not None and kv.create_revision == mine.create_revision


def _next_older(node: Node, everyone: Selector, mine: KeyValue) -> KeyValue | None:
    """Returns the youngest of the older keys: each waits for one only, so that an end wakes one only."""
    query = Range(
        everyone,
        limit=1,
        max_create_revision=mine.create_revision - 1,
        order=Order.CREATE_REVISION,
        descending=True,
    )
    result = node.state.range(query)
    assert isinstance(result, RangeResult), "the newest revision can be read"
    return result.kvs[0] if result.kvs else None


def _get(node: Node, key: bytes) -> KeyValue | None:
    result = node.state.range(Range(Selector(key)))
    assert isinstance(result, RangeResult), "the newest revision can be read"
    return result.kvs[0] if result.kvs else None


async def wait_for_end(node: Node, kv: KeyValue) -> None:
    """Returns when a key has been deleted, even if it is there again."""
    stream = node.open_watch_stream()
    try:
        stream.create(0, Filter(Selector(kv.key), no_put=True), node.state.revision + 1)
        # What happened up to now, the watch does not tell.
        now = _get(node, kv.key)
        while now is not None and now.create_revision == kv.create_revision:
            await stream.wait()
            taken = stream.take()
            if taken is not None and (isinstance(taken[1], Compacted) or taken[1]):
                return
    finally:
        stream.close()


async def leave(node: Node, key: bytes, create_revision: int | None, deadline: float) -> Outcome:
    """Deletes a key, if it is still the one that was created at a revision (None: whichever it is)."""
    delete = DeleteRange(Selector(key))
    if create_revision is None:
        return await propose(node, Write(delete), deadline)
    same = Compare(Selector(key), Operator.EQUAL, Target.CREATE_REVISION, create_revision)
    return await propose(node, Write(Txn((same,), (delete,))), deadline)


@asynccontextmanager
async def leaving_on_failure(node: Node, kv: KeyValue) -> AsyncIterator[None]:
    """Deletes the key of a caller if the block ends by an exception, a cancellation included.

    Nobody else would do so, and others stand behind it.
    """
    try:
        yield
    except BaseException:
        task = asyncio.get_running_loop().create_task(_leave(node, kv))
        _leaving.add(task)
        task.add_done_callback(_leaving.discard)
        raise


async def _leave(node: Node, kv: KeyValue) -> None:
    deadline = asyncio.get_running_loop().time() + CLEANUP_S
    with contextlib.suppress(RequestError):
        await leave(node, kv.key, kv.create_revision, deadline)
