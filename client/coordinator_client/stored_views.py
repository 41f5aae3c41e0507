"""A view of a service as a file, so that a program that starts while the cluster is away knows what was known last.

The file is JSON of one object, of a format and version that it names. It holds the service's keys as they were at one
revision, so that whoever reads it judges them by its own filters. It is replaced as a whole: a reader finds the one or
the other, and of several programs that keep the same view in one file the last one counts.
"""

from __future__ import annotations

import contextlib
import glob
import json
import logging
import os
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator_client import validation
from coordinator_client.errors import InvalidArgument
from coordinator_client.instances import service_prefix
from coordinator_client.model import EventBatch, KeyValue

FORMAT = "coordinator-view"
VERSION = 1
FILE_SIZE_BYTES_MAX = 64 * 1024 * 1024
SUFFIX = ".new"
LEFT_AFTER_S = 600.0
"""A file that was begun so long ago is not being written any more."""

_log = logging.getLogger("coordinator_client")
_NUMBERS = ("create_revision", "mod_revision", "version", "session")


class Unstorable(Exception):
    """The view can't be written; the message says why."""


class Unusable(Exception):
    """The file does not hold a view of the service; the message says why."""


@dataclass(frozen=True)
class StoredView:
    """The keys of a service as of one revision."""

    service: str
    revision: int
    kvs: tuple[KeyValue, ...]

    def batch(self) -> EventBatch:
        """Returns it as a watch delivers a snapshot."""
        return EventBatch(self.revision, snapshot=True, kvs=self.kvs)


class KeyCopy:
    """The keys of a service, kept current by the batches of a snapshot watch."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._kvs: dict[bytes, KeyValue] = {}
        self._revision = 0

    def apply(self, batch: EventBatch) -> None:
        """Takes a snapshot or all events of one revision."""
        if batch.snapshot:
            self._kvs = {kv.key: kv for kv in batch.kvs}
        for event in batch.events:
            if event.is_put:
                self._kvs[event.key] = event.kv
            else:
                self._kvs.pop(event.key, None)
        self._revision = batch.revision

    def view(self) -> StoredView:
        """Returns all of them, which later changes don't touch."""
        return StoredView(self._service, self._revision, tuple(self._kvs.values()))


def path_of(path: str | os.PathLike[str]) -> Path:
    """Returns the absolute path of a file to keep a view in; raises InvalidArgument if there can't be one."""
    try:
        found = Path(path).absolute()
        fine = "\0" not in str(found) and found.parent.is_dir() and not found.is_dir()
    except (TypeError, ValueError):
        raise InvalidArgument(f"keep_in is {validation.shown(path)}, not a path") from None
    if not fine:
        raise InvalidArgument(
            f"keep_in is {validation.shown(path)}, not a file in a folder there is"
        )
    return found


def encode(view: StoredView) -> bytes:
    """Returns the content of a file; raises Unstorable if it would be too large."""
    fields = {
        "format": FORMAT,
        "version": VERSION,
        "service": view.service,
        "revision": view.revision,
        "keys": [
            {"key": _shown(kv.key), "value": _shown(kv.value)}
            | {name: getattr(kv, name) for name in _NUMBERS}
            for kv in view.kvs
        ],
    }
    content = json.dumps(fields, separators=(",", ":")).encode()
    if len(content) > FILE_SIZE_BYTES_MAX:
        raise Unstorable(f"it has {len(content)} bytes, more than {FILE_SIZE_BYTES_MAX}")
    return content


def decode(service: str, content: bytes) -> StoredView:
    """Returns the view in the content of a file; raises Unusable."""
    try:
        fields: Any = json.loads(content)
    except (ValueError, RecursionError):
        raise Unusable("it is damaged, or no view") from None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise Unusable("it is no view")
    if fields.get("version") != VERSION:
        raise Unusable(f"it is of version {validation.shown(fields.get('version'))}")
    if fields.get("service") != service:
        raise Unusable(f"it is of service {validation.shown(fields.get('service'))}")
    prefix = service_prefix(service).encode()
    try:
        revision = validation.whole(fields["revision"], "revision")
        kvs = tuple(_read_key(entry) for entry in fields["keys"])
    except (InvalidArgument, AttributeError, KeyError, TypeError, ValueError):
        raise Unusable("it is damaged") from None
    if not all(kv.key.startswith(prefix) for kv in kvs):
        raise Unusable("it holds keys of another service")
    return StoredView(service, revision, kvs)


def _read_key(entry: dict[str, Any]) -> KeyValue:
    numbers = [validation.whole(entry[name], name) for name in _NUMBERS]
    return KeyValue(_bytes(entry["key"]), _bytes(entry["value"]), *numbers)


def _shown(value: bytes) -> str:
    # What is not UTF-8 comes back as it was, too.
    return value.decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def load(path: Path, service: str) -> StoredView | None:
    """Returns the view of a service in a file; None, after a warning, if what is there can't be used."""
    _tidy(path)
    try:
        content = _read(path)
        return None if content is None else decode(service, content)
    except (OSError, Unusable) as error:
        _log.warning("the view of %s in %s is passed over: %s", service, path, error)
        return None


def _tidy(path: Path) -> None:
    """Removes what programs left behind that were killed while they wrote."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFT_AFTER_S:
                left.unlink()


def _read(path: Path) -> bytes | None:
    # Without O_NONBLOCK, opening a pipe would wait for somebody to write.
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    with open(number, "rb") as file:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise Unusable("it is no file")
        content = file.read(FILE_SIZE_BYTES_MAX + 1)
    if len(content) > FILE_SIZE_BYTES_MAX:
        raise Unusable(f"it has more than {FILE_SIZE_BYTES_MAX} bytes")
    return content


def save(path: Path, view: StoredView) -> None:
    """Puts a view into a file, at once and for good, for this user alone to read; raises Unstorable or OSError."""
    content = encode(view)
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=SUFFIX, dir=path.parent)
    try:
        with open(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(number)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # Not every system can open a folder; there, the rename is as durable as it gets.
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
