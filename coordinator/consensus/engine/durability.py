"""When the journal is synced, and what may be said before that.

Messages that reveal something of the journal wait in an outbox until the fsync that covers it has returned. The fsync
runs on a thread of its own; one is under way at a time, and takes along all that gathered meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from coordinator.consensus.codec import AppendAck, Message
from coordinator.consensus.journal import Journal, JournalSync
from coordinator.errors import FatalError

Send = Callable[[int, Message], bool]


class Durability:
    """Syncs the journal in the background and releases what waited for it."""

    def __init__(
        self,
        journal: Journal,
        send: Send,
        *,
        synced: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`synced` is called on the loop after each sync, `failed` when one fails; there is no second try."""
        self._journal = journal
        self._send = send
        self._synced = synced
        self._failed = failed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._outbox: deque[tuple[int, int, Message]] = deque()
        self._newest: dict[int, tuple[int, Message]] = {}
        """What was held for each member last, and up to which mark."""
        self._running: asyncio.Future[None] | None = None
        self._stopped = False
        self._abandoned = False

    @property
    def syncing(self) -> bool:
        return self._journal.syncing

    def hold(self, member: int, message: Message) -> None:
        """Sends a message once everything that is in the journal now is on disk.

        Said once more while that lasts, it is not kept again: a disk that hangs must not cost memory with every
        heartbeat that is answered, or vote that is asked for.
        """
        mark = self._journal.mark
        if mark > self._journal.synced_mark and self._newest.get(member) == (mark, message):
            return
        self._newest[member] = mark, message
        self._outbox.append((mark, member, message))

    def drive(self) -> None:
        """Sends what may be sent and starts a sync if there is something to sync and none under way."""
        self._release()
        if self._stopped or self._journal.syncing:
            return
        sync = self._journal.start_sync()
        if sync is not None:
            loop = asyncio.get_running_loop()
            self._running = loop.run_in_executor(self._thread, sync.run)
            self._running.add_done_callback(lambda future: self._finish(sync, future))

    async def stop(self) -> None:
        """Waits for the sync under way and, unless it was abandoned, syncs the rest. Raises OSError."""
        self._stopped = True
        if self._running is not None:
            await asyncio.wait([self._running])
        try:
            if not self._abandoned and not self._journal.syncing:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._thread, self._journal.sync)
        finally:
            self._thread.shutdown(wait=False)
            self._journal.close()

    def abandon(self) -> None:
        """Nothing more is synced or sent; `stop` is still to be called."""
        self._stopped = self._abandoned = True
        self._outbox.clear()

    def _finish(self, sync: JournalSync, future: asyncio.Future[None]) -> None:
        self._running = None
        error = None if future.cancelled() else future.exception()
        if error is not None:
            # Nobody knows what is on disk now, and another fsync could say that all is well. The journal
            # goes on counting this one as under way, so that there is no other.
            failure = FatalError(f"can't write the journal file {sync.name}: {error}")
            failure.__cause__ = error
            self._failed(failure)
            return
        obsolete = self._journal.finish_sync(sync)
        if self._stopped:
            return
        if obsolete:
            removal = asyncio.get_running_loop().run_in_executor(
                self._thread, self._journal.remove_segments, obsolete
            )
            removal.add_done_callback(self._note_removal)
        self._synced()

    def _note_removal(self, future: asyncio.Future[None]) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None:
            self._failed(FatalError(f"can't remove an old journal file: {error}"))

    def _release(self) -> None:
        """Sends what waits for nothing more. Of several acknowledgements to one member the newest says it all."""
        outbox, synced = self._outbox, self._journal.synced_mark
        if not outbox or outbox[0][0] > synced:
            return
        acks: dict[int, AppendAck] = {}
        while outbox and outbox[0][0] <= synced:
            _, member, message = outbox.popleft()
            if isinstance(message, AppendAck) and not message.rejected:
                known = acks.get(member)
                if known is None or (message.term, message.index) >= (known.term, known.index):
                    acks[member] = message
            else:
                self._send(member, message)
        for member, ack in acks.items():
            self._send(member, ack)
