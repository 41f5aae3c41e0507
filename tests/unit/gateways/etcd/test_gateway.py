"""The gateway as a whole."""

from __future__ import annotations

from tests.unit.gateways.etcd.conftest import Etcd


async def test_services_have_the_names_that_clients_call(etcd: Etcd) -> None:
    names = [service.name for service in etcd.gateway.services()]
    assert {"etcdserverpb.KV", "etcdserverpb.Watch", "etcdserverpb.Lease"} <= set(names)
    assert len(names) == len(set(names))
    assert not any(service.described for service in etcd.gateway.services())
