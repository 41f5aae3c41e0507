"""What a fuzzed parser is, and how valid bytes become nearly valid ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st

SECONDS_MAX = 1.0
"""How long one input may take, in processor time."""

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """Something that reads bytes nobody vouches for."""

    name: str
    check: Callable[[bytes], None]
    """Gives it the bytes; raises if it does anything but what is documented."""
    seeds: Callable[[], Sequence[bytes]]
    """Inputs to begin with, most of them valid."""

    def run(self, content: bytes) -> None:
        """Checks one input, the time it takes included."""
        began = time.process_time()
        self.check(content)
        taken = time.process_time() - began
        assert taken < SECONDS_MAX, f"{len(content)} bytes took {taken:.1f} s"


class Choices:
    """Takes decisions from bytes, so that a mutated input is another sequence of decisions."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    @property
    def left(self) -> int:
        """Bytes that decided nothing yet."""
        return len(self._content) - self._position

    def byte(self) -> int:
        """The next byte; 0 when there is none."""
        found = self.bytes(1)
        return found[0] if found else 0

    def bytes(self, size: int) -> bytes:
        """The next bytes, fewer at the end."""
        found = self._content[self._position : self._position + size]
        self._position += size
        return found

    def pick(self, options: Sequence[T]) -> T:
        return options[self.byte() % len(options)]


def pack(parts: Sequence[bytes]) -> bytes:
    """Several byte strings as one."""
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def unpack(content: bytes) -> list[bytes]:
    """The byte strings in one, whatever it is."""
    choices, parts = Choices(content), []
    while choices.left > 0:
        parts.append(choices.bytes(int.from_bytes(choices.bytes(2), "big")))
    return parts


def mutated(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Valid inputs with bits flipped and pieces cut out, doubled and put in; and some junk."""
    positions = st.integers(0, max(map(len, seeds), default=0))
    pieces = st.binary(max_size=12) | st.sampled_from(
        [
            b"\xff" * 4,
            b"\xff" * 8,
            b"\xdd\xff\xff\xff\xff",
            b"\xdf\x7f\xff\xff\xff",
            b"\xc1",
            b"\0" * 8,
        ]
    )
    step = st.tuples(
        st.sampled_from(["flip", "cut", "double", "insert", "replace"]), positions, pieces
    )
    return st.builds(_apply, st.sampled_from(seeds), st.lists(step, max_size=4)) | st.binary(
        max_size=64
    )


def _apply(seed: bytes, steps: Sequence[tuple[str, int, bytes]]) -> bytes:
    content = bytearray(seed)
    for kind, position, piece in steps:
        at = position % (len(content) + 1)
        end = at + len(piece)
        if kind == "flip" and at < len(content):
            content[at] ^= 1 << (len(piece) % 8)
        elif kind == "cut":
            del content[at:end]
        elif kind == "double":
            content[at:at] = content[at:end]
        elif kind == "insert":
            content[at:at] = piece
        elif kind == "replace":
            content[at:end] = piece
    return bytes(content)


class Loop:
    """An event loop that outlives one input, and tells of every error that was left to it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._errors: list[str] = []

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.set_exception_handler(self._note)
        self._errors.clear()
        self._loop.run_until_complete(work)
        assert not self._errors, self._errors

    def close(self) -> None:
        """Ends the loop; another one begins with the next input."""
        if self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
            self._loop = None

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._errors.append(f"{context.get('message')}: {context.get('exception')!r}")


LOOP = Loop()
