"""How far the members have applied the log, asked of them when somebody wants to know."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping

from coordinator.consensus.interface import Consensus
from coordinator.node.messages import Progress, ProgressQuestion, encode_message


class ProgressReports:
    """Questions to the other members, and their answers."""

    def __init__(self, consensus: Consensus, member_id: int) -> None:
        self._consensus = consensus
        self._member_id = member_id
        self._loop = asyncio.get_running_loop()
        # Answers to an earlier run of this process must not be taken for ours.
        self._number = secrets.randbits(62)
        self._waiting: dict[int, tuple[int, asyncio.Future[int]]] = {}

    async def ask(self, timeout_s: float) -> Mapping[int, int]:
        """Returns the applied index of this member and of all others that answer in time."""
        futures: dict[int, asyncio.Future[int]] = {}
        first = self._number + 1
        for peer in self._consensus.members:
            if peer.id == self._member_id:
                continue
            self._number += 1
            message = encode_message(ProgressQuestion(self._number))
            if self._consensus.send(peer.id, message):
                futures[peer.id] = self._loop.create_future()
                self._waiting[self._number] = (peer.id, futures[peer.id])
        last = self._number
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    for future in futures.values():
                        await asyncio.shield(future)
        finally:
            for number in range(first, last + 1):
                self._waiting.pop(number, None)
        found = {member: f.result() for member, f in futures.items() if f.done()}
        return {self._member_id: self._consensus.status.applied_index, **found}

    def asked(self, member: int, message: ProgressQuestion) -> None:
        """Another member wants to know."""
        applied_index = self._consensus.status.applied_index
        self._consensus.send(member, encode_message(Progress(message.number, applied_index)))

    def answered(self, member: int, message: Progress) -> None:
        """Another member's answer."""
        asked, future = self._waiting.get(message.number, (0, None))
        if future is not None and asked == member and not future.done():
            future.set_result(message.applied_index)
