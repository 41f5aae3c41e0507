"""The smallest application that consensus can drive: it remembers what was applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import msgspec

from coordinator.consensus.interface import ConsensusStatus, Peer
from coordinator.errors import DamageError

Applied = tuple[int, int, bytes]
"""Index, term and content of an entry."""


class ToyCapture:
    """Fifty entries are one part."""

    def __init__(self, applied: list[Applied]) -> None:
        self._applied = applied
        self._start = 0
        self.released = False

    def read(self) -> Callable[[], bytes] | None:
        assert not self.released, "read after its release"
        part = self._applied[self._start : self._start + 50]
        self._start += 50
        return partial(msgspec.msgpack.encode, part) if part else None

    def release(self) -> None:
        self.released = True


class ToyApplication:
    """Keeps the log it was given, restores included."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called after everything that happens."""
        self.applied: list[Applied] = []
        self.restored: list[int] = []
        """Indexes of the snapshots that were restored."""
        self.statuses: list[ConsensusStatus] = []
        self.received: list[tuple[int, bytes]] = []
        self.peers: list[tuple[int, bool]] = []
        self.members: list[tuple[Peer, ...]] = []
        self.ready_count = 0
        self.apply_error: Exception | None = None
        self._changed = changed

    @property
    def contents(self) -> list[bytes]:
        return [content for _, _, content in self.applied]

    def apply(self, index: int, term: int, entry: bytes) -> None:
        if self.apply_error is not None:
            raise self.apply_error
        assert not self.applied or index > self.applied[-1][0], "applied out of order"
        self.applied.append((index, term, entry))
        self._changed()

    def capture(self) -> ToyCapture:
        self.capture_open = ToyCapture(list(self.applied))
        return self.capture_open

    def slices(self) -> Iterator[bytes]:
        """The whole state, encoded."""
        capture = self.capture()
        while (encode := capture.read()) is not None:
            yield encode()
        capture.release()

    def prepare(self, slices: Iterable[bytes]) -> object:
        applied: list[Applied] = []
        try:
            for piece in slices:
                applied += msgspec.msgpack.decode(piece, type=list[Applied])
        except msgspec.DecodeError as error:
            raise DamageError(str(error)) from None
        return applied

    def restore(self, index: int, term: int, prepared: object) -> None:
        assert isinstance(prepared, list)
        self.applied = prepared
        self.restored.append(index)
        self._changed()

    def members_changed(self, members: tuple[Peer, ...]) -> None:
        self.members.append(members)
        self._changed()

    def leadership_changed(self, status: ConsensusStatus) -> None:
        self.statuses.append(status)
        self._changed()

    def ready_to_propose(self) -> None:
        self.ready_count += 1
        self._changed()

    def message_received(self, member: int, payload: bytes) -> None:
        self.received.append((member, payload))
        self._changed()

    def peer_changed(self, member: int, connected: bool) -> None:
        self.peers.append((member, connected))
        self._changed()
