from __future__ import annotations

import asyncio
from collections import deque

import pytest

from coordinator_client import Closed, DeadlineExceeded
from coordinator_client._async.reader import Reader

WAIT_S = 10


class Pipe:
    """A source and a buffer of numbers."""

    def __init__(self) -> None:
        self.numbers = deque[int]()
        self.readers: list[Reader[int]] = []
        self.error: Exception | None = None

    def check_open(self) -> None:
        if self.error is not None:
            raise self.error

    def forget(self, reader: Reader[int]) -> None:
        self.readers.remove(reader)
        reader.wake()

    def add(self, change: int) -> None:
        self.numbers.append(change)

    def take(self) -> int | None:
        return self.numbers.popleft() if self.numbers else None


@pytest.fixture
def pipe() -> Pipe:
    pipe = Pipe()
    pipe.readers.append(Reader(pipe, pipe))
    return pipe


async def test_it_waits_for_changes_and_tells_each(pipe: Pipe) -> None:
    (reader,) = pipe.readers
    with pytest.raises(DeadlineExceeded, match="nothing changed"):
        await reader.next(0.01)
    waiting = asyncio.create_task(reader.next(WAIT_S))
    await asyncio.sleep(0)
    reader.add([1, 2])
    assert await waiting == 1
    assert await reader.next(0) == 2


async def test_closing_ends_the_iteration(pipe: Pipe) -> None:
    (reader,) = pipe.readers

    async def read() -> list[int]:
        return [number async for number in reader]

    reader.add([1])
    reading = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    await reader.close()
    assert await asyncio.wait_for(reading, WAIT_S) == [1]
    assert pipe.readers == []
    with pytest.raises(Closed):
        await reader.next()


async def test_what_ended_the_source_is_raised_after_the_last_change(pipe: Pipe) -> None:
    (reader,) = pipe.readers
    reader.add([1])
    pipe.error = RuntimeError("over")
    assert await reader.next() == 1
    with pytest.raises(RuntimeError, match="over"):
        await reader.next()
