"""The files of the journal: what they look like and how they are read back.

A segment file is a header (magic, format version, salt, number of its first frame, crc32) followed by frames (magic,
number, length, crc32 of the payload, crc32 of this header, payload). The salt goes into each checksum and is nobody's
to know: content that an application wrote can't pass for a frame, nor for the header of one, so that looking for frames
behind a torn one takes time in proportion to the bytes there.
"""

from __future__ import annotations

import struct
import zlib
from typing import Protocol

from coordinator.consensus.disk import WAY_OUT, Disk
from coordinator.errors import DamageError

FORMAT_VERSION = 2
PREFIX = "journal-"
_SEGMENT_MAGIC = b"CRDLOG\r\n"
_SEGMENT_HEADER = struct.Struct("<8sHIQ")
_CHECKSUM = struct.Struct("<I")
_HEADER_SIZE = _SEGMENT_HEADER.size + _CHECKSUM.size
_FRAME_MAGIC = b"\xc0Frm"
_FRAME_OPENING = struct.Struct("<4sQII")
_FRAME_HEADER_SIZE = _FRAME_OPENING.size + _CHECKSUM.size
_FRAME_SEAL = struct.Struct("<QI")


def segment_name(sequence: int) -> str:
    """Name of the file whose first frame has this number; names sort like numbers."""
    return f"{PREFIX}{sequence:016x}"


def segment_header(salt: int, sequence: int) -> bytes:
    """The beginning of a file."""
    header = _SEGMENT_HEADER.pack(_SEGMENT_MAGIC, FORMAT_VERSION, salt, sequence)
    return header + _CHECKSUM.pack(zlib.crc32(header))


def seal_frame(salt: int, sequence: int, payload: bytes) -> bytes:
    """A payload as a frame."""
    checksum = _frame_checksum(salt, sequence, payload)
    opening = _FRAME_OPENING.pack(_FRAME_MAGIC, sequence, len(payload), checksum)
    return opening + _CHECKSUM.pack(zlib.crc32(opening, salt)) + payload


class Replay(Protocol):
    """What a segment is read into."""

    def replay_frame(self, name: str, offset: int, sequence: int, payload: bytes) -> None: ...


class SegmentReader:
    """Reads one file at recovery."""

    def __init__(self, disk: Disk, name: str, *, last: bool) -> None:
        self._disk = disk
        self._name = name
        self._last = last
        self._content = disk.read(name)
        self._salt = 0

    def replay(self, journal: Replay) -> int:
        """Replays all intact frames, cuts off a torn one, and returns the size of what is left."""
        if not self._read_header():
            return 0
        position, sequence = _HEADER_SIZE, 0
        while position < len(self._content):
            frame = self._frame(position)
            if frame is None:
                if not self._last or self._intact_frame_after(position, sequence):
                    raise damage(self._name, position, "a frame before intact ones is damaged")
                self._disk.truncate(self._name, position)
                break
            sequence, payload = frame
            journal.replay_frame(self._name, position, sequence, payload)
            position += _FRAME_HEADER_SIZE + len(payload)
        if sequence == 0:
            # The file was made, and its first frame, which holds term and vote, never got to the disk.
            self._remove()
            return 0
        return position

    def _read_header(self) -> bool:
        """False if the file is one that was being made when the member crashed."""
        content = self._content
        if len(content) >= _HEADER_SIZE:
            header = content[: _SEGMENT_HEADER.size]
            (checksum,) = _CHECKSUM.unpack_from(content, _SEGMENT_HEADER.size)
            magic, version, self._salt, sequence = _SEGMENT_HEADER.unpack(header)
            if magic == _SEGMENT_MAGIC and zlib.crc32(header) == checksum:
                if version != FORMAT_VERSION:
                    raise DamageError(
                        f"{self._name} has format {version}; this program reads format "
                        f"{FORMAT_VERSION}: start the version of the program that wrote it"
                    )
                if self._name != segment_name(sequence):
                    raise damage(self._name, 0, f"the file was written as number {sequence:x}")
                return True
        if not self._last or content.find(_FRAME_MAGIC, _HEADER_SIZE + _FRAME_HEADER_SIZE) >= 0:
            raise damage(self._name, 0, "the header is damaged")
        self._remove()
        return False

    def _remove(self) -> None:
        self._disk.remove(self._name)
        self._disk.sync_folder()

    def _frame(self, position: int) -> tuple[int, bytes] | None:
        start = position + _FRAME_HEADER_SIZE
        if start > len(self._content):
            return None
        opening = self._content[position : position + _FRAME_OPENING.size]
        (own_checksum,) = _CHECKSUM.unpack_from(self._content, position + _FRAME_OPENING.size)
        if zlib.crc32(opening, self._salt) != own_checksum:
            return None
        magic, sequence, size, checksum = _FRAME_OPENING.unpack(opening)
        if magic != _FRAME_MAGIC or size > len(self._content) - start:
            return None
        payload = self._content[start : start + size]
        if _frame_checksum(self._salt, sequence, payload) != checksum:
            return None
        return sequence, payload

    def _intact_frame_after(self, position: int, sequence: int) -> bool:
        while (position := self._content.find(_FRAME_MAGIC, position + 1)) >= 0:
            frame = self._frame(position)
            if frame is not None and frame[0] > sequence:
                return True
        return False


def _frame_checksum(salt: int, sequence: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_FRAME_SEAL.pack(sequence, len(payload)), salt))


def damage(name: str, offset: int, what: str) -> DamageError:
    """The error for bytes that are not what was written, with the way out."""
    return DamageError(f"{name} is damaged at byte {offset}: {what}. {WAY_OUT}", name, offset)
