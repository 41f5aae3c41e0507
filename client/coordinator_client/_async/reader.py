"""An iterator over changes that something in the background finds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Protocol, Self, TypeVar

from coordinator_client import _io_async as io
from coordinator_client import errors, validation

Item = TypeVar("Item")


class Buffer(Protocol[Item]):
    """Changes that were not taken yet; it merges what a slow reader missed, so that it stays small."""

    def add(self, change: Item) -> None:
        """Takes a change."""

    def take(self) -> Item | None:
        """Returns the oldest change; None if there is none."""


class Source(Protocol[Item]):
    """Where the changes come from."""

    def check_open(self) -> None:
        """Raises what ended the source, if something did."""

    def forget(self, reader: Reader[Item]) -> None:
        """The reader wants no more changes."""


class Reader(Generic[Item]):
    """An iterator over changes. It is for one reader; every reader has a place of its own."""

    def __init__(self, source: Source[Item], buffer: Buffer[Item]) -> None:
        self._source = source
        self._buffer = buffer
        self._guard = io.Guard()
        self._news = io.Flag()
        self._closed = io.Flag()

    def add(self, changes: Iterable[Item]) -> None:
        """Takes what happened at one revision."""
        with self._guard:
            for change in changes:
                self._buffer.add(change)
        self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        try:
            return await self.next()
        except errors.Closed:
            raise StopAsyncIteration from None

    async def next(self, timeout_s: float | None = None) -> Item:
        """Returns the next change; waits for it, at most `timeout_s` seconds, and for ever by default.

        Raises DeadlineExceeded after `timeout_s`, Closed when what is read is closed, and what ended that.
        """
        deadline_s = None if timeout_s is None else io.now_s() + validation.wait(timeout_s)
        while True:
            with self._guard:
                self._news.clear()
                change = self._buffer.take()
            if self._closed.is_set():
                raise errors.Closed("the iteration is closed")
            if change is not None:
                return change
            self._source.check_open()
            remaining_s = None if deadline_s is None else max(0.0, deadline_s - io.now_s())
            if not await self._news.wait(remaining_s):
                raise errors.DeadlineExceeded(f"nothing changed for {timeout_s} s")

    def wake(self) -> None:
        """Makes a waiting `next` look again."""
        self._news.set()

    async def close(self) -> None:
        """Ends the iteration; what is read forgets it."""
        self._closed.set()
        self._source.forget(self)
