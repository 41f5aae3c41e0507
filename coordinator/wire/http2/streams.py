"""The state of a stream as long as it is open (RFC 9113, section 5.1), and the memory of those that we ended."""

from __future__ import annotations

from collections import OrderedDict, deque

import msgspec

DATA_PIECE = 0
LAST_DATA_PIECE = 1
TRAILERS_PIECE = 2


class Stream(msgspec.Struct, gc=False):
    """A stream that is open in at least one direction; a closed one is forgotten."""

    stream_id: int
    window_in: int
    """Bytes that the client may still send."""
    expected: int
    """Bytes of content that the request announced and that did not come yet; negative when it announced none."""
    request_ended: bool = False
    reply_ending: bool = False
    """The end of the reply was sent or is in `waiting`."""
    unread: int = 0
    """Bytes that came and were not consumed."""
    owed: int = 0
    """Bytes that were consumed and not given back to the client's window yet."""
    delta_out: int = 0
    """What our window is above what SETTINGS say that it is at first: a change of that moves all windows at once."""
    waiting: deque[tuple[bytes, int]] | None = None
    """What waits for a window, in order, with its kind."""
    offset: int = 0
    """How much of the first of `waiting` is sent."""
    unsent: int = 0
    """Bytes of content in `waiting`."""


class EndedStreams:
    """The streams that we ended while the client may not have known: it may still send on them (section 5.1)."""

    __slots__ = ("_ids", "_size_max")

    def __init__(self, size_max: int) -> None:
        self._ids: OrderedDict[int, None] = OrderedDict()
        self._size_max = size_max

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, stream_id: int) -> None:
        """Remembers a stream, and forgets the one that was ended first if there are too many."""
        self._ids[stream_id] = None
        if len(self._ids) > self._size_max:
            self._ids.popitem(last=False)

    def discard(self, stream_id: int) -> None:
        """Forgets a stream of which the client has said its last word."""
        self._ids.pop(stream_id, None)
