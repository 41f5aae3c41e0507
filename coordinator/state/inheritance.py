"""What becomes of the keys of a session that ends: most go, and some pass to another session.

The state machine knows no reason to keep a key. Whoever proposes the end of sessions names those that are to stay,
under which session, and what is to be written beside them so that readers see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coordinator.state.commands import Heir, Keep, SessionExpire
from coordinator.state.keyspace import Keyspace
from coordinator.state.model import Cause, Event, KeyValue

Will = Mapping[bytes, tuple[Keep, Heir]]
"""What is to be kept of one session, by key."""


@dataclass(frozen=True)
class Estate:
    """What the end of a session comes to."""

    events: tuple[Event, ...]
    """Ascending by key."""
    heirs: tuple[Heir, ...]
    """Those that take over a key, in the order in which they do."""
    deleted: int
    """Keys that go."""


def read_wills(command: SessionExpire) -> dict[int, dict[bytes, tuple[Keep, Heir]]]:
    """Returns what a command keeps, by session; nothing for an heir that it does not name, or that it ends."""
    heirs: dict[int, Heir] = {}
    ending = set(command.ids) if command.kept else set()
    for heir in command.heirs:
        if heir.id > 0 and heir.id not in ending:
            heirs.setdefault(heir.id, heir)
    wills: dict[int, dict[bytes, tuple[Keep, Heir]]] = {}
    for keep in command.kept:
        if keep.heir in heirs:
            wills.setdefault(keep.session, {})[keep.key] = (keep, heirs[keep.heir])
    return wills


def settle(keyspace: Keyspace, id: int, cause: Cause, will: Will | None) -> Estate:
    """Returns what is to be done with the keys of a session that ends with that cause. Changes nothing."""
    owned = keyspace.keys_of(id)
    if not will:
        events = tuple(Event(key, None, keyspace.get(key), cause) for key in owned)
        return Estate(events, (), len(events))
    return _divide(keyspace, id, cause, owned, will)


def _divide(
    keyspace: Keyspace, id: int, cause: Cause, owned: tuple[bytes, ...], will: Will
) -> Estate:
    revision = keyspace.revision + 1
    heirs: dict[int, Heir] = {}
    puts: dict[bytes, Event] = {}
    for key in owned:
        if key in will:
            keep, heir = will[key]
            heirs.setdefault(heir.id, heir)
            prev = keyspace.get(key)
            assert prev is not None
            puts[key] = _moved(prev, prev.value, heir, revision)
            if keep.mark not in will:
                _mark(keyspace, id, keep, heir, revision, puts)
    events = dict(puts)
    deleted = 0
    for key in owned:
        if key not in puts:
            events[key] = Event(key, None, keyspace.get(key), cause)
            deleted += 1
    return Estate(tuple(events[key] for key in sorted(events)), tuple(heirs.values()), deleted)


def _mark(
    keyspace: Keyspace, id: int, keep: Keep, heir: Heir, revision: int, puts: dict[bytes, Event]
) -> None:
    """Writes what says that a key was kept, unless it changed since that was decided."""
    mark = keyspace.get(keep.mark)
    if (0 if mark is None else mark.mod_revision) == keep.mark_revision:
        if mark is None:
            kv = KeyValue(keep.mark, keep.mark_value, revision, revision, 1, heir.id)
            puts.setdefault(keep.mark, Event(keep.mark, kv, None))
        elif mark.session in (0, id):
            puts.setdefault(keep.mark, _moved(mark, keep.mark_value, heir, revision))
    elif mark is not None and mark.session == id:
        puts.setdefault(keep.mark, _moved(mark, mark.value, heir, revision))


def _moved(prev: KeyValue, value: bytes, heir: Heir, revision: int) -> Event:
    kv = KeyValue(prev.key, value, prev.create_revision, revision, prev.version + 1, heir.id)
    return Event(prev.key, kv, prev)
