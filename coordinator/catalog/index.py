"""The services that a set of keys describes, kept as keys come and go. Knows nothing of where they come from."""

from __future__ import annotations

from bisect import bisect_left, insort

from coordinator.catalog.health import CheckResult, judge, parse_result
from coordinator.catalog.instances import (
    DEFINITIONS,
    PASSING,
    SETTINGS,
    Instance,
    InstanceState,
    parse_instance,
    parse_state,
    split_check_key,
    split_key,
)
from coordinator.catalog.service_settings import NO_SETTINGS, ServiceSettings, parse_settings
from coordinator.state.model import KeyValue


class _Service:
    """All that is known of one service. It may hold states, results or settings only, and is no service then."""

    __slots__ = ("instances", "listed", "order", "results", "revision", "settings", "states")

    def __init__(self) -> None:
        self.instances: dict[str, Instance] = {}
        self.states: dict[str, InstanceState] = {}
        self.results: dict[str, dict[str, CheckResult]] = {}
        """Of checks, by the id of the instance and the name of the check."""
        self.order: list[tuple[int, str]] = []
        """The places of all instances, ascending."""
        self.listed: tuple[Instance, ...] | None = None
        """The instances in that order; None: somebody has to ask for them first."""
        self.settings = NO_SETTINGS
        self.revision = 0

    @property
    def present(self) -> bool:
        """Whether there is anything to call."""
        return bool(self.instances or self.settings.proxies)


class Index:
    """Instances by service and by address.

    A change costs no more in a large service than in a small one, but for moving list items; listing a service again
    after it has changed costs as much as it has instances.
    """

    def __init__(self) -> None:
        self._services: dict[str, _Service] = {}
        self._names: dict[str, None] = {}
        """Services with an instance or a proxy."""
        self._names_listed: tuple[str, ...] | None = None
        self._addresses: dict[bytes, dict[tuple[str, str], None]] = {}
        self._checked: dict[tuple[str, str], None] = {}
        """Service and id of the instances that declare checks."""

    # --- what is known ------------------------------------------------------------------------------

    def services(self) -> tuple[str, ...]:
        """Returns the names of all services that have an instance or a proxy, ascending."""
        if self._names_listed is None:
            self._names_listed = tuple(sorted(self._names))
        return self._names_listed

    def service(self, name: str) -> tuple[Instance, ...]:
        """Returns the instances of a service in order of registration; none if there is no such service."""
        service = self._services.get(name)
        if service is None:
            return ()
        if service.listed is None:
            instances = service.instances
            service.listed = tuple(instances[id] for _, id in service.order)
        return service.listed

    def settings(self, name: str) -> ServiceSettings:
        """Returns what is set for a service as a whole."""
        service = self._services.get(name)
        return NO_SETTINGS if service is None else service.settings

    def endpoints(self, name: str) -> tuple[Instance, ...]:
        """Returns what callers of a service are to find: its proxies if it publishes any, else its instances."""
        return self.settings(name).proxies or self.service(name)

    def revision_of(self, name: str) -> int:
        """Returns the revision at which a service was last touched; 0 if there is no such service.

        As long as it is the same, so are the instances.
        """
        service = self._services.get(name)
        return 0 if service is None or not service.present else service.revision

    def at(self, packed: bytes) -> tuple[Instance, ...]:
        """Returns the instances at an IP address, given as 4 or 16 bytes."""
        found = self._addresses.get(packed, {})
        return tuple(self._services[name].instances[id] for name, id in found)

    def instance(self, name: str, id: str) -> Instance | None:
        """Returns one instance; None if there is no such one."""
        service = self._services.get(name)
        return None if service is None else service.instances.get(id)

    def result(self, name: str, id: str, check: str) -> CheckResult | None:
        """Returns what stands in the key of a check's result, whether it counts or not."""
        service = self._services.get(name)
        return None if service is None else service.results.get(id, {}).get(check)

    def checked(self) -> list[tuple[str, str]]:
        """Returns service and id of every instance that declares checks."""
        return list(self._checked)

    # --- what changes -------------------------------------------------------------------------------

    def put(self, kv: KeyValue, revision: int) -> None:
        """A key was written. Keys that say nothing about instances are passed over."""
        parts = split_key(kv.key)
        if parts is None:
            self._put_result(kv, revision)
            return
        name, kind, id = parts
        service = self._services.setdefault(name, _Service())
        service.revision = revision
        if kind == DEFINITIONS:
            self._replace(name, service, id, parse_instance(name, id, kv, PASSING))
            self._judge(service, id)
        elif kind == SETTINGS:
            service.settings = parse_settings(name, kv)
        else:
            service.states[id] = parse_state(kv.value)
            self._judge(service, id)
        self._tidy(name, service)

    def _put_result(self, kv: KeyValue, revision: int) -> None:
        parts = split_check_key(kv.key)
        if parts is not None:
            name, id, check = parts
            service = self._services.setdefault(name, _Service())
            service.revision = revision
            service.results.setdefault(id, {})[check] = parse_result(kv)
            self._judge(service, id)

    def delete(self, key: bytes, revision: int) -> None:
        """A key was deleted."""
        parts = split_key(key)
        service = self._services.get(parts[0]) if parts is not None else None
        if parts is None:
            self._delete_result(key, revision)
        if parts is None or service is None:
            return
        name, kind, id = parts
        service.revision = revision
        if kind == DEFINITIONS:
            self._replace(name, service, id, None)
        elif kind == SETTINGS:
            service.settings = NO_SETTINGS
        elif service.states.pop(id, None) is not None:
            self._judge(service, id)
        self._tidy(name, service)

    def _delete_result(self, key: bytes, revision: int) -> None:
        parts = split_check_key(key)
        service = self._services.get(parts[0]) if parts is not None else None
        if parts is None or service is None:
            return
        name, id, check = parts
        service.revision = revision
        results = service.results.get(id, {})
        if results.pop(check, None) is not None:
            self._judge(service, id)
            if not results:
                del service.results[id]
        self._tidy(name, service)

    def _judge(self, service: _Service, id: str) -> None:
        """The state of an instance may have changed; nothing else did."""
        old = service.instances.get(id)
        if old is not None:
            state, results = service.states.get(id, PASSING), service.results.get(id, {})
            service.instances[id] = judge(old, state, results)
            service.listed = None

    def _replace(self, name: str, service: _Service, id: str, new: Instance | None) -> None:
        old = service.instances.pop(id, None)
        if old is not None:
            del service.order[bisect_left(service.order, old.place)]
            self._forget_address(old)
            self._checked.pop((name, id), None)
        if new is not None:
            service.instances[id] = new
            insort(service.order, new.place)
            if new.packed:
                self._addresses.setdefault(new.packed, {})[name, id] = None
            if new.check_definitions:
                self._checked[name, id] = None
        service.listed = None

    def _forget_address(self, old: Instance) -> None:
        if not old.packed:
            return
        found = self._addresses[old.packed]
        del found[old.service, old.id]
        if not found:
            del self._addresses[old.packed]

    def _tidy(self, name: str, service: _Service) -> None:
        """Takes note of a service that appeared or is gone."""
        if service.present != (name in self._names):
            self._names_listed = None
            if service.present:
                self._names[name] = None
            else:
                del self._names[name]
        known = service.present or service.states or service.results
        if not known and service.settings is NO_SETTINGS:
            del self._services[name]
