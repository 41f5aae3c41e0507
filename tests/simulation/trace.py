"""What happened in a simulation, line by line: hashed always, printed on demand."""

from __future__ import annotations

import hashlib
import struct
from typing import TextIO

from tests.simulation.loop import SimLoop

_STAMP = struct.Struct("<dii")


class Trace:
    """Two runs of one seed have the same trace, or the simulation is not deterministic."""

    def __init__(self, loop: SimLoop, out: TextIO | None = None) -> None:
        self.events = 0
        self.lines: list[str] = []
        """What was noted, messages aside."""
        self._loop = loop
        self._out = out
        self._hash = hashlib.blake2b(digest_size=16)

    def note(self, text: str) -> None:
        """Something worth a line."""
        line = f"{self._loop.now - 1_000:10.6f}  {text}"
        self.events += 1
        self._hash.update(line.encode())
        self.lines.append(line)
        if self._out is not None:
            print(line, file=self._out)

    def message(self, sender: int, receiver: int, frame: bytes, what: object) -> None:
        """A message that arrives."""
        self.events += 1
        self._hash.update(_STAMP.pack(self._loop.now, sender, receiver))
        self._hash.update(frame)
        if self._out is not None:
            text = repr(what)
            shown = text if len(text) < 200 else text[:200] + "…"
            print(
                f"{self._loop.now - 1_000:10.6f}  n{sender} -> n{receiver}  {shown}", file=self._out
            )

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
