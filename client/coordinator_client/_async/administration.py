"""Who belongs to the cluster, and who leads it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

from coordinator_client import _io_async as io
from coordinator_client import calls, errors, membership, model, snapshots, validation
from coordinator_client._async.connection import Connection
from coordinator_client.failures import CallFailed, Decision, decide, error_of
from coordinator_client.pb import cluster_pb2


class Administration:
    """The part of the client that is for operators. Members are named by their name or their id."""

    _connection: Connection

    async def members(
        self, *, linearizable: bool = False, lag: bool = False, timeout_s: float | None = None
    ) -> tuple[model.Member, ...]:
        """Returns the members of the cluster, in ascending order of their names.

        `linearizable`: as a quorum knows them; else as the node that is asked does. `lag`: ask how far each one is.
        """
        request = cluster_pb2.MemberListRequest(
            linearizable=validation.flag(linearizable, "linearizable"),
            lag=validation.flag(lag, "lag"),
        )
        reply = await self._connection.call(
            calls.MEMBER_LIST, request, safe=True, timeout_s=timeout_s
        )
        return tuple(calls.member(message) for message in reply.members)

    async def add_member(
        self, name: str, peer_address: str, *, timeout_s: float | None = None
    ) -> model.Member:
        """Adds a member that does not vote yet, a learner; then start it with `coordinator serve --join`.

        `peer_address`: where it will listen for the others. Raises AlreadyExists if the name or the address is taken.
        """
        request = cluster_pb2.MemberAddRequest(
            name=validation.text(name, "name"),
            peer_address=validation.text(peer_address, "peer_address"),
        )
        reply = await self._connection.call(
            membership.MEMBER_ADD, request, safe=False, timeout_s=timeout_s
        )
        return calls.member(reply.member)

    async def promote_member(
        self, member: int | str, *, wait: bool = False, timeout_s: float | None = None
    ) -> model.Member:
        """Lets a learner vote. Raises RequestRefused with the reason LEARNER_BEHIND if it has not caught up.

        `wait`: try until it has, at most for `timeout_s` seconds.
        """
        timeout_s = self._connection.timeout_s if timeout_s is None else timeout_s
        deadline_s = io.now_s() + validation.timeout(timeout_s)
        wait = validation.flag(wait, "wait")
        request = cluster_pb2.MemberPromoteRequest(id=await self._id_of(member, timeout_s))
        while True:
            left_s = max(deadline_s - io.now_s(), 0.1)
            try:
                reply = await self._connection.call(
                    membership.MEMBER_PROMOTE, request, safe=False, timeout_s=left_s
                )
                return calls.member(reply.member)
            except errors.RequestRefused as error:
                pause_s = membership.PROMOTE_PAUSE_S
                if (
                    not wait
                    or not membership.is_behind(error)
                    or io.now_s() + pause_s >= deadline_s
                ):
                    raise
            await self._connection.pause(pause_s)

    async def remove_member(
        self, member: int | str, *, force: bool = False, timeout_s: float | None = None
    ) -> None:
        """Removes a member for good: its node stops. A leader hands over before.

        Refused if the voters that are left would not have a quorum at hand; `force` passes over that.
        """
        id = await self._id_of(member, timeout_s)
        request = cluster_pb2.MemberRemoveRequest(id=id, force=validation.flag(force, "force"))
        await self._connection.call(
            membership.MEMBER_REMOVE, request, safe=False, timeout_s=timeout_s
        )

    async def update_member_address(
        self, member: int | str, peer_address: str, *, timeout_s: float | None = None
    ) -> model.Member:
        """Tells all members where a member listens for them from now on."""
        address = validation.text(peer_address, "peer_address")
        id = await self._id_of(member, timeout_s)
        request = cluster_pb2.MemberUpdateAddressRequest(id=id, peer_address=address)
        reply = await self._connection.call(
            membership.MEMBER_UPDATE_ADDRESS, request, safe=False, timeout_s=timeout_s
        )
        return calls.member(reply.member)

    async def transfer_leadership(
        self, target: int | str | None = None, *, timeout_s: float | None = None
    ) -> str:
        """Lets another member lead, by default the one that is furthest; returns the name of who leads now.

        Writes wait meanwhile, and then go to the new leader.
        """
        request = cluster_pb2.TransferLeadershipRequest()
        if target is not None:
            request.target_id = await self._id_of(target, timeout_s)
        reply = await self._connection.call(
            membership.TRANSFER_LEADERSHIP,
            request,
            # To a certain member it does no harm to be asked for twice.
            safe=target is not None,
            timeout_s=timeout_s,
        )
        return reply.leader_name

    async def save_snapshot(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Callable[[int, int], None] | None = None,
        timeout_s: float | None = None,
    ) -> model.SavedSnapshot:
        """Fetches all that the cluster holds, as of now or later, from one member into a file that can be restored.

        The file comes into being whole, checked and synced, or not at all; one that is there is replaced then.
        `progress` is called with the bytes that came and those of the whole. `timeout_s`: how long to wait for the
        beginning, and for each piece. Raises OSError if the file can't be written.
        """
        target = Path(path)
        timeout_s = validation.timeout(
            self._connection.timeout_s if timeout_s is None else timeout_s
        )
        for attempt in range(len(self._connection.endpoints)):
            endpoint = self._connection.endpoint
            stream = self._connection.open_stream(snapshots.SNAPSHOT_SAVE)
            try:
                stream.send(cluster_pb2.SnapshotSaveRequest())
                first = await stream.next(timeout_s)
                return await self._receive(stream, first, target, progress, timeout_s)
            except CallFailed as failed:
                self._connection.leave(endpoint)
                last = attempt == len(self._connection.endpoints) - 1
                if last or decide(failed.failure, safe=True) is Decision.RAISE:
                    raise error_of(failed.failure, safe=True) from failed
            except TimeoutError as error:
                self._connection.leave(endpoint)
                raise errors.DeadlineExceeded(
                    f"{endpoint} sent nothing of the snapshot within {timeout_s:g} s"
                ) from error
            finally:
                stream.cancel()
        raise errors.Unavailable("no endpoint gave a snapshot")

    async def _receive(
        self,
        stream: io.Stream[cluster_pb2.SnapshotSaveRequest, cluster_pb2.SnapshotSaveResponse],
        first: cluster_pb2.SnapshotSaveResponse,
        target: Path,
        progress: Callable[[int, int], None] | None,
        timeout_s: float,
    ) -> model.SavedSnapshot:
        incoming = await io.blocking(lambda: snapshots.IncomingSnapshot(target, first.about))
        try:
            while not incoming.complete:
                chunk = (await stream.next(timeout_s)).chunk
                if not chunk:
                    raise snapshots.SnapshotDamaged(
                        "the member sent an empty piece of the snapshot"
                    )
                await io.blocking(functools.partial(incoming.add, chunk))
                if progress is not None:
                    progress(incoming.received, incoming.size)
            return await io.blocking(incoming.finish)
        finally:
            incoming.discard()

    async def _id_of(self, member: int | str, timeout_s: float | None) -> int:
        found = await self.members(linearizable=True, timeout_s=timeout_s)
        return membership.named(found, member).id
