"""What can be done with keys: read, write, transact, watch."""

from __future__ import annotations

from collections.abc import AsyncIterator

from coordinator_client import calls, model, validation
from coordinator_client._async.connection import Connection
from coordinator_client._async.txn import Txn
from coordinator_client._async.watch import Watch
from coordinator_client._async.writes import Writes
from coordinator_client.compares import selector
from coordinator_client.cursor import WatchSpec
from coordinator_client.operations import Delete, Owner, Put
from coordinator_client.pb import kv_pb2


class KeySpace:
    """The keys of a cluster; a part of `Client`."""

    def __init__(self, connection: Connection, writes: Writes) -> None:
        self._connection = connection
        self._writes = writes

    async def get(
        self,
        key: str | bytes,
        *,
        revision: int = 0,
        local: bool = False,
        min_revision: int = 0,
        timeout_s: float | None = None,
    ) -> model.KeyValue | None:
        """Returns a key, or None if it does not exist.

        `revision`: as it was then. `local`: from the node's own, possibly stale, state. `min_revision`: the node waits
        until it has applied that revision. Raises Compacted or FutureRevision.
        """
        found = await self.range(
            key, revision=revision, local=local, min_revision=min_revision, timeout_s=timeout_s
        )
        return found.kvs[0] if found.kvs else None

    async def range(
        self,
        key: str | bytes,
        *,
        prefix: bool = False,
        range_end: str | bytes | None = None,
        limit: int = 0,
        revision: int = 0,
        keys_only: bool = False,
        count_only: bool = False,
        delimiter: str | bytes = b"",
        local: bool = False,
        min_revision: int = 0,
        start_after: str | bytes = b"",
        timeout_s: float | None = None,
    ) -> model.RangeResult:
        """Returns one page of the keys that start with `key` (`prefix`) or lie in [key, range_end).

        The page ends at `limit` items or at the server's own limit; `more` says whether items are left, and
        `start_after` (the last key or child of the page before) continues. `range_all` does that by itself.
        With `delimiter`, keys that contain it after the prefix are grouped into `children`.
        """
        request = kv_pb2.RangeRequest(
            selector=selector(key, prefix=prefix, range_end=range_end),
            revision=validation.whole(revision, "revision"),
            limit=validation.whole(limit, "limit"),
            keys_only=validation.flag(keys_only, "keys_only"),
            count_only=validation.flag(count_only, "count_only"),
            delimiter=validation.to_bytes(delimiter, "delimiter"),
            local=validation.flag(local, "local"),
            min_revision=validation.whole(min_revision, "min_revision"),
            start_after=validation.to_bytes(start_after, "start_after"),
        )
        reply = await self._connection.call(calls.RANGE, request, safe=True, timeout_s=timeout_s)
        return calls.range_result(reply, revision or reply.header.revision)

    async def range_all(
        self,
        key: str | bytes,
        *,
        prefix: bool = False,
        range_end: str | bytes | None = None,
        revision: int = 0,
        keys_only: bool = False,
        local: bool = False,
        page_size: int = 1000,
    ) -> AsyncIterator[model.KeyValue]:
        """Iterates over all matching keys as they were at one revision, fetching them in pages.

        Raises Compacted if history is compacted past that revision meanwhile.
        """
        validation.whole(page_size, "page_size")
        start_after = b""
        while True:
            page = await self.range(
                key,
                prefix=prefix,
                range_end=range_end,
                limit=page_size,
                revision=revision,
                keys_only=keys_only,
                local=local,
                min_revision=revision,
                start_after=start_after,
            )
            for kv in page.kvs:
                yield kv
            if not page.more or not page.kvs:
                return
            revision, start_after = page.revision, page.kvs[-1].key

    async def children(
        self, path: str | bytes, *, revision: int = 0, local: bool = False
    ) -> tuple[str, ...]:
        """Returns the names of the children of a path: of /a/b, /a/c/d and /a/c/e under /a, `b` and `c`.

        In ascending order, as of one revision.
        """
        prefix = validation.to_bytes(path, "path").rstrip(b"/") + b"/"
        names: set[str] = set()
        start_after = b""
        while True:
            page = await self.range(
                prefix,
                prefix=True,
                delimiter=b"/",
                keys_only=True,
                revision=revision,
                local=local,
                min_revision=revision,
                start_after=start_after,
            )
            names.update(calls.child_names(prefix, page))
            items = [kv.key for kv in page.kvs[-1:]] + list(page.children[-1:])
            if not page.more or not items:
                return tuple(sorted(names))
            revision, start_after = page.revision, max(items)

    async def put(
        self,
        key: str | bytes,
        value: str | bytes = b"",
        *,
        session: Owner | int | None = None,
        sequence: bool = False,
        prev: bool = False,
        timeout_s: float | None = None,
    ) -> model.PutResult:
        """Writes a key.

        `session`: the key goes when that session ends. `sequence`: ten digits, counted per parent, are appended to
        the key; the result names it. `prev`: return the key as it was. Raises SessionNotFound or LimitExceeded.
        """
        request = Put(key, value, session, sequence, prev).message()
        reply = await self._writes.call(calls.PUT, request, timeout_s)
        return calls.put_result(reply, reply.header.revision)

    async def delete(
        self,
        key: str | bytes,
        *,
        prefix: bool = False,
        range_end: str | bytes | None = None,
        prev: bool = False,
        timeout_s: float | None = None,
    ) -> model.DeleteResult:
        """Deletes a key, all keys that start with it (`prefix`), or those in [key, range_end), in one revision."""
        request = Delete(key, prefix, range_end, prev).message()
        reply = await self._writes.call(calls.DELETE_RANGE, request, timeout_s)
        return calls.delete_result(reply, reply.header.revision)

    def txn(self) -> Txn:
        """Returns an empty transaction: `txn().when(...).then(...).otherwise(...).commit()`."""
        return Txn(self._connection, self._writes)

    async def compact(self, revision: int, *, timeout_s: float | None = None) -> None:
        """Forgets history up to a revision: what was before it can be neither read nor watched any more."""
        request = kv_pb2.CompactRequest(revision=validation.whole(revision, "revision"))
        await self._writes.call(calls.COMPACT, request, timeout_s)

    def watch(
        self,
        key: str | bytes,
        *,
        prefix: bool = False,
        range_end: str | bytes | None = None,
        start_revision: int = 0,
        snapshot: bool = False,
        prev: bool = False,
        puts: bool = True,
        deletes: bool = True,
        progress: bool = False,
        local: bool = False,
        min_revision: int = 0,
    ) -> Watch:
        """Returns a watch: a context manager and iterator of event batches, one per revision.

        It begins after the current revision, at `start_revision`, or with a `snapshot` of all matching keys at one
        revision, after which come all later events. When its node is lost it goes on at another one, exactly where it
        was. If history was compacted past that point, iteration raises Compacted; a `snapshot` watch delivers another
        snapshot instead. `prev`: events carry the key as it was. `puts`, `deletes`: what to report. `progress`: report
        empty batches from time to time, too, that say how far the watch is.
        """
        spec = WatchSpec(
            selector(key, prefix=prefix, range_end=range_end),
            start_revision,
            snapshot,
            prev,
            puts,
            deletes,
            progress,
            local,
            min_revision,
        )
        return Watch(self._connection, spec)
