"""What the domain holds: turns the catalog into answers.

Answers are of this node's applied state. Only healthy instances are told. Records of a service are made once for each
of its revisions; those of a very large one are made for a part of it, another one each time: nobody can take all of
them, and nothing may keep the loop for long.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from coordinator.catalog.catalog import Catalog
from coordinator.catalog.instances import HEALTHY, Instance
from coordinator.gateways.dns import records as render
from coordinator.gateways.dns.cache import Cache
from coordinator.gateways.dns.groups import Groups, Port, port_of
from coordinator.gateways.dns.messages import Answer
from coordinator.gateways.dns.names import (
    Kind,
    Labels,
    Named,
    read_name,
    write_host,
    write_name,
)
from coordinator.gateways.dns.queries import (
    AAAA,
    ANY,
    CNAME,
    NOERROR,
    NS,
    NXDOMAIN,
    PTR,
    SOA,
    SRV,
    TXT,
    A,
    Query,
)
from coordinator.gateways.dns.records import Record

INSTANCES_MAX = 1_000
"""Of a service: records are made for so many at once."""
CACHED_INSTANCES_MAX = 100_000
CACHED_RECORDS_MAX = 50_000

_ADDRESS_SIZES = {A: 4, AAAA: 16}


class Zone:
    """Answers questions about the domain and the addresses of instances."""

    def __init__(
        self,
        catalog: Catalog,
        domain: Labels,
        ttl_s: int,
        negative_ttl_s: int,
        server_addresses: Callable[[], Sequence[bytes]],
    ) -> None:
        self._catalog = catalog
        self._domain = domain
        self._domain_name = write_name(domain)
        self._server_name = write_name((b"ns", *domain))
        self._mailbox_name = write_name((b"hostmaster", *domain))
        self._ttl = ttl_s
        self._negative_ttl = negative_ttl_s
        self._server_addresses = server_addresses
        self._chosen: Cache[Sequence[Instance]] = Cache(CACHED_INSTANCES_MAX)
        self._groups: Cache[Groups] = Cache(CACHED_INSTANCES_MAX)
        self._rendered: Cache[Sequence[Record]] = Cache(CACHED_RECORDS_MAX)

    @property
    def ready(self) -> bool:
        """Whether it knows the services yet."""
        return self._catalog.ready

    def answer(self, query: Query) -> Answer | None:
        """Returns what there is to say; None if the name belongs to somebody else."""
        named = read_name(query.labels, self._domain)
        match named.kind:
            case Kind.OUTSIDE:
                return None
            case Kind.NOTHING:
                return self._nothing(NXDOMAIN)
            case Kind.PARENT:
                return self._some(query, ())
            case Kind.APEX:
                return self._apex(query)
            case Kind.NAMESERVER:
                return self._some(query, self._addresses(query, self._server_addresses()))
            case Kind.ADDRESS:
                return self._some(query, self._addresses(query, (named.packed,)))
            case Kind.REVERSE:
                return self._reverse(query, named)
            case _:
                return self._service(query, named)

    # --- names of their own -------------------------------------------------------------------------

    def _authority(self, ttl: int) -> bytes:
        return render.write_authority(
            self._server_name,
            self._mailbox_name,
            self._catalog.revision,
            ttl,
            self._negative_ttl,
        )

    def _nothing(self, code: int) -> Answer:
        """Says that there is nothing, and how long that may be remembered (RFC 2308)."""
        authority = self._authority(self._negative_ttl)
        return Answer(code, authority=authority, domain_size=len(self._domain_name))

    def _some(self, query: Query, found: Sequence[Record], more: bool = False) -> Answer:
        """Answers for a name that exists."""
        if query.type == ANY:
            return Answer(NOERROR, (render.write_refusal_of_any(self._ttl),))
        return Answer(NOERROR, found, more=more) if found else self._nothing(NOERROR)

    def _apex(self, query: Query) -> Answer:
        if query.type == SOA:
            authority = self._authority(self._ttl)
            return Answer(NOERROR, (Record(render.ASKED + authority),))
        if query.type != NS:
            return self._some(query, ())
        name = self._server_name
        addresses = self._server_addresses()
        server = render.write_nameserver(name, next(iter(addresses), b""), self._ttl)
        return Answer(NOERROR, (server,))

    def _addresses(self, query: Query, addresses: Sequence[bytes]) -> Sequence[Record]:
        size = _ADDRESS_SIZES.get(query.type)
        return [render.write_address(p, self._ttl) for p in addresses if len(p) == size]

    def _reverse(self, query: Query, named: Named) -> Answer | None:
        instances = self._catalog.at(named.packed)
        if not instances:
            return None
        services = dict.fromkeys(instance.service for instance in instances[:INSTANCES_MAX])
        names = (write_name((service.encode(), b"service", *self._domain)) for service in services)
        found = [render.write_pointer(name, self._ttl) for name in names]
        if query.type == ANY:
            return self._some(query, found)
        # The zone of the reverse name is not ours, so that there is no SOA record to give.
        return Answer(NOERROR, found if query.type == PTR else ())

    # --- services -----------------------------------------------------------------------------------

    def _service(self, query: Query, named: Named) -> Answer:
        revision = self._catalog.revision_of(named.service)
        every = self._every(named, revision) if revision else None
        if every is None:
            return self._nothing(NXDOMAIN)
        wrong_type = named.kind in _ONLY_SRV and query.type != SRV
        if not every or wrong_type or query.type not in _SERVICE_TYPES:
            return self._some(query, ())
        asked = (named.service, named.tag, named.port, named.protocol, query.type)
        chosen = self._chosen.get(asked, revision, partial(_choose, every, query.type))
        more = len(chosen) > INSTANCES_MAX
        if more:
            start = random.randrange(len(chosen))
            part = [*chosen[start : start + INSTANCES_MAX]]
            part += chosen[: INSTANCES_MAX - len(part)]
            found = self._render(query.type, named, part)
        else:
            make = partial(self._render, query.type, named, chosen)
            found = self._rendered.get(asked, revision, make)
        if found and found[0].is_alias:
            # A name has one of them at most (RFC 1034).
            return self._some(query, (random.choice(found),))
        return self._some(query, found, more)

    def _every(self, named: Named, revision: int) -> Sequence[Instance] | None:
        """Returns the instances that a name names, healthy or not.

        Empty: it only has names below it. None: there is no such name.
        """
        instances = self._catalog.endpoints(named.service)
        if named.kind is not Kind.PORT and not named.tag:
            return instances
        groups = self._groups.get(named.service, revision, partial(Groups, instances))
        if named.kind is Kind.PORT:
            return groups.ports.get((named.port, named.protocol))
        return groups.tags.get(named.tag, () if named.tag in groups.parents else None)

    def _render(self, type: int, named: Named, chosen: Sequence[Instance]) -> Sequence[Record]:
        """Returns the records of one type, each once."""
        ttl = self._ttl
        found: list[Record] = []
        if type in (A, AAAA, CNAME):
            packed = dict.fromkeys(i.packed for i in chosen if i.packed)
            hosts = dict.fromkeys(write_host(i.address) for i in chosen if not i.packed)
            found = [render.write_address(p, ttl) for p in packed]
            found += [render.write_alias(host, ttl) for host in hosts if host]
        elif type == SRV:
            further = (named.port, named.protocol) if named.kind is Kind.PORT else None
            found = [record for i in chosen if (record := self._render_srv(i, further))]
        elif type == TXT:
            found = [render.write_text(i.metadata, ttl) for i in chosen]
        return list({record.wire: record for record in found}.values())

    def _render_srv(self, instance: Instance, further: Port | None) -> Record | None:
        if instance.packed:
            label = instance.packed.hex().encode()
            target = bytes((len(label),)) + label + b"\4addr" + self._domain_name
        else:
            target = write_host(instance.address)
        if not target:
            return None
        port = port_of(instance, further) if further else instance.port
        return render.write_service(instance.weight, port, target, instance.packed, self._ttl)


_ONLY_SRV = (Kind.SERVICE_BY_RFC, Kind.PORT)
_SERVICE_TYPES = (A, AAAA, CNAME, SRV, TXT)


def _choose(every: Sequence[Instance], type: int) -> Sequence[Instance]:
    """Returns those that are healthy and have something to say of a type.

    If none is healthy, these are the ones that the guard keeps: they may well be there.
    """
    found = [i for i in every if i.state.status in HEALTHY] or [i for i in every if i.spare]
    if type not in (A, AAAA, CNAME):
        return found
    # Beside an alias nothing may stand, so that hosts count only where there are no addresses.
    if not any(i.packed for i in found):
        return found
    return [i for i in found if len(i.packed) == _ADDRESS_SIZES.get(type)]
