"""What is known of a service, and how it changes: pure bookkeeping behind `discover`."""

from __future__ import annotations

import enum
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from coordinator_client import checks, instances
from coordinator_client.errors import InvalidArgument
from coordinator_client.instances import Instance, InstanceState
from coordinator_client.model import Cause, EventBatch, KeyValue
from coordinator_client.service_settings import read_proxies

__all__ = ["Change", "ChangeType"]


class ChangeType(enum.Enum):
    """What happened to an instance."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True)
class Change:
    """One instance came, changed, or went."""

    type: ChangeType
    instance: Instance
    """As it is now; of a removed instance: as it was last."""
    cause: Cause = Cause.UNSPECIFIED
    """Of a removal: why; UNSPECIFIED when the instance is still there and does not suit the view any more, and when the
    removal itself was not seen (after a lost stretch of history).
    """
    revision: int = 0


class ServiceTable:
    """The instances of one service as of one revision, built from the batches of a snapshot watch."""

    def __init__(
        self,
        service: str,
        accepts: Callable[[Instance], bool] = lambda instance: True,
        proxies: bool = True,
        usable_only: bool = False,
    ) -> None:
        """Instances that `accepts` is false for are left out, as if they were not there.

        `proxies`: where the service publishes proxies, these are its instances. `usable_only`: see `usable`.
        """
        self._accepts = accepts
        self._usable_only = usable_only
        self._with_proxies = proxies
        self.service = instances.validate_service(service)
        self.revision = 0
        self.instances: tuple[Instance, ...] = ()
        """In order of registration: by create_revision, then by id; the same on every client."""
        self._definitions: dict[str, KeyValue] = {}
        self._states: dict[str, InstanceState] = {}
        self._results: dict[str, dict[str, checks.KeptResult]] = {}
        self._proxies: dict[str, Instance] = {}
        self._usable: dict[str, Instance] = {}
        """Those that are shown: all, or with `usable_only` the healthy ones."""
        self._spares: dict[str, Instance] = {}
        """With `usable_only`: those that are shown when no other is."""
        self._listed: list[Instance] = []
        """What is shown, in order."""

    def apply(self, batch: EventBatch) -> list[Change]:
        """Takes a snapshot or all events of one revision; returns what they mean for instances."""
        self.revision = batch.revision
        causes: dict[str, Cause] = {}
        touched: set[str] = set()
        if batch.snapshot:
            touched |= self._definitions.keys() | self._set_proxies(None)
            self._definitions.clear()
            self._states.clear()
            self._results.clear()
            for kv in batch.kvs:
                touched |= self._put(kv)
        for event in batch.events:
            if event.is_put:
                touched |= self._put(event.kv)
            else:
                touched |= self._delete(event.key, event.cause, causes)
        return self._refresh(touched, causes) if touched else []

    def _put(self, kv: KeyValue) -> set[str]:
        parts = instances.split_key(self.service, kv.key)
        if parts is None:
            return self._put_result(kv)
        kind, id = parts
        if kind == "settings":
            return self._set_proxies(kv)
        if kind == "instances":
            self._definitions[id] = kv
        else:
            self._states[id] = InstanceState.from_json(kv.value)
        return {id}

    def _delete(self, key: bytes, cause: Cause, causes: dict[str, Cause]) -> set[str]:
        parts = instances.split_key(self.service, key)
        if parts is None:
            return self._delete_result(key)
        kind, id = parts
        if kind == "settings":
            return self._set_proxies(None)
        if kind == "instances":
            self._definitions.pop(id, None)
            causes[id] = cause
        else:
            self._states.pop(id, None)
        return {id}

    def _put_result(self, kv: KeyValue) -> set[str]:
        parts = instances.split_check_key(self.service, kv.key)
        if parts is None:
            return set()
        id, check = parts
        kept = checks.KeptResult(checks.parse_result(kv.value), kv.session, kv.mod_revision)
        self._results.setdefault(id, {})[check] = kept
        return {id}

    def _delete_result(self, key: bytes) -> set[str]:
        parts = instances.split_check_key(self.service, key)
        if parts is None:
            return set()
        id, check = parts
        results = self._results.get(id, {})
        if results.pop(check, None) is not None and not results:
            del self._results[id]
        return {id}

    def _set_proxies(self, settings: KeyValue | None) -> set[str]:
        """Takes other settings; returns the ids of all that may come or go by that."""
        before = self._proxies
        found = read_proxies(self.service, settings) if self._with_proxies else ()
        self._proxies = {proxy.id: proxy for proxy in found}
        # As long as there are proxies, no instance is shown.
        hidden = self._definitions.keys() if bool(before) != bool(self._proxies) else ()
        return {*before, *self._proxies, *hidden}

    def _refresh(self, touched: set[str], causes: dict[str, Cause]) -> list[Change]:
        shown = self._usable or self._spares
        known = {id: shown.get(id) for id in touched}
        for id in touched:
            self._file(id, self._read(id))
        current = self._usable or self._spares
        if current is not shown:
            # The spare ones come or go all together.
            known = dict.fromkeys(current) | shown | known
        changes = []
        for id, before in known.items():
            after = current.get(id)
            cause = causes.get(id, Cause.UNSPECIFIED) if after is None else Cause.UNSPECIFIED
            change_type = _classify(before, after)
            instance = after or before
            if change_type is not None and instance is not None:
                changes.append(Change(change_type, instance, cause, self.revision))
                self._relist(before, after)
        self.instances = tuple(self._listed)
        return sorted(changes, key=lambda change: registration_order(change.instance))

    def _file(self, id: str, found: Instance | None) -> None:
        """Puts an instance where it belongs."""
        self._usable.pop(id, None)
        self._spares.pop(id, None)
        if found is not None and (found.healthy or not self._usable_only):
            self._usable[id] = found
        elif found is not None and found.spare:
            self._spares[id] = found

    def _relist(self, before: Instance | None, after: Instance | None) -> None:
        """Changes one place of the list: in a large service, sorting it anew for each change would be dear."""
        if before is not None:
            place = registration_order(before)
            del self._listed[bisect_left(self._listed, place, key=registration_order)]
        if after is not None:
            insort(self._listed, after, key=registration_order)

    def _read(self, id: str) -> Instance | None:
        if self._proxies:
            proxy = self._proxies.get(id)
            return proxy if proxy is not None and self._accepts(proxy) else None
        kv = self._definitions.get(id)
        if kv is None:
            return None
        try:
            state = self._states.get(id, InstanceState())
            instance = Instance.from_json(self.service, id, kv, state)
        except InvalidArgument:
            # Written by someone who does not keep to the layout: nobody can connect to it, so it does not count.
            return None
        instance = judge(instance, self._results.get(id, {}))
        return instance if self._accepts(instance) else None


def judge(instance: Instance, results: Mapping[str, checks.KeptResult]) -> Instance:
    """Returns an instance that has the word of its state key with what its checks make of it."""
    if not instance.check_definitions:
        return instance
    session, created = instance.session, instance.create_revision
    found = {
        name: checks.result_of(definition, session, created, results.get(name))
        for name, definition in instance.check_definitions.items()
    }
    own = instance.state
    status, note = checks.worst(own.status, own.note, found)
    return replace(instance, state=replace(own, status=status, note=note), checks=found)


def accepting(tag: str | None, zone: str | None) -> Callable[[Instance], bool]:
    """Returns whether an instance has a tag and a zone, as far as these are asked for."""

    def accepts(instance: Instance) -> bool:
        return (tag is None or tag in instance.tags) and (zone is None or zone == instance.zone)

    return accepts


def usable(instances: Iterable[Instance]) -> tuple[Instance, ...]:
    """Returns those that should get calls: the healthy ones, or, where none is left, those that the guard keeps.

    These may well be there: when most of a service falls silent at once, it is rather the network that failed.
    """
    listed = tuple(instances)
    healthy = tuple(instance for instance in listed if instance.healthy)
    return healthy or tuple(instance for instance in listed if instance.spare)


def read_instances(
    service: str, kvs: Iterable[KeyValue], proxies: bool = True
) -> tuple[Instance, ...]:
    """Returns the instances that the keys of a service describe, in order of registration; see `ServiceTable`."""
    table = ServiceTable(service, proxies=proxies)
    table.apply(EventBatch(0, snapshot=True, kvs=tuple(kvs)))
    return table.instances


def registration_order(instance: Instance) -> tuple[int, str]:
    """The sort key under which every client lists the same instances in the same order."""
    return instance.create_revision, instance.id


def _classify(before: Instance | None, after: Instance | None) -> ChangeType | None:
    if before is None:
        return None if after is None else ChangeType.ADDED
    if after is None:
        return ChangeType.REMOVED
    return None if before == after else ChangeType.CHANGED


class ChangeBuffer:
    """Changes that a reader has not taken yet, at most one per instance.

    A reader that keeps up sees every change. One that does not sees what they come to: added then changed is added,
    added then removed is nothing, removed then added is changed. So the buffer never holds more than one change for
    each instance that the reader knows or that exists.
    """

    def __init__(self, known: Iterable[Instance] = ()) -> None:
        self._pending: dict[str, Change] = {
            instance.id: Change(ChangeType.ADDED, instance, revision=instance.mod_revision)
            for instance in known
        }

    def add(self, change: Change) -> None:
        """Takes a change."""
        id = change.instance.id
        pending = self._pending.pop(id, None)
        merged = change if pending is None else _merge(pending, change)
        if merged is not None:
            self._pending[id] = merged

    def take(self) -> Change | None:
        """Returns the oldest pending change."""
        for id in self._pending:
            return self._pending.pop(id)
        return None


def _merge(first: Change, second: Change) -> Change | None:
    match first.type, second.type:
        case ChangeType.ADDED, ChangeType.REMOVED:
            return None
        case ChangeType.ADDED, _:
            return Change(ChangeType.ADDED, second.instance, revision=second.revision)
        case ChangeType.REMOVED, ChangeType.ADDED:
            return Change(ChangeType.CHANGED, second.instance, revision=second.revision)
        case _:
            return second
