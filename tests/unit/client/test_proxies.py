from __future__ import annotations

import asyncio
import json

from coordinator_client import ChangeType, aio

SETTINGS = "/services/pay/settings"


def endpoints(view: aio.ServiceView) -> list[str]:
    return [instance.endpoint for instance in view.instances()]


async def test_proxies_stand_in_place_of_instances(client: aio.Client) -> None:
    async with (
        client.register("pay", "10.0.0.1", 80, id="i-1"),
        client.discover("pay") as view,
        client.discover("pay", proxies=False) as real,
    ):
        changes = view.changes()
        assert (await changes.next(10)).instance.id == "i-1"
        await client.set_service_proxies("pay", ["10.0.0.9:443"])
        seen = [await changes.next(10) for _ in range(2)]
        assert {(change.type, change.instance.proxy) for change in seen} == {
            (ChangeType.REMOVED, False), (ChangeType.ADDED, True),
        }  # fmt: skip
        assert endpoints(view) == ["10.0.0.9:443"]
        assert view.balancer().pick().instance.proxy
        # What the instances do is no news now.
        async with client.register("pay", "10.0.0.2", 80, id="i-2"):
            assert [i.id for i in await real.wait_for(2, 10)] == ["i-1", "i-2"]
        assert endpoints(view) == ["10.0.0.9:443"]
        assert [i.endpoint for i in await client.instances("pay")] == ["10.0.0.9:443"]
        assert [i.id for i in await client.instances("pay", proxies=False)] == ["i-1"]
        await client.set_service_proxies("pay", [])
        seen = [await changes.next(10) for _ in range(2)]
        assert {change.type for change in seen} == {ChangeType.ADDED, ChangeType.REMOVED}
        assert endpoints(view) == ["10.0.0.1:80"]
        assert await client.get(SETTINGS) is None


async def test_a_service_may_have_proxies_only(client: aio.Client) -> None:
    edge = aio.Instance("pay", "edge", "10.0.0.9", 443, tags=("blue",))
    await client.set_service_proxies("pay", ["10.0.0.8:443", edge])
    assert await client.services() == ("pay",)
    published = await client.service_proxies("pay")
    assert [proxy.endpoint for proxy in published] == ["10.0.0.8:443", "10.0.0.9:443"]
    async with client.discover("pay", tag="blue") as view:
        assert [proxy.id for proxy in view.instances()] == ["edge"]


async def test_many_settings_are_written_at_once_and_none_is_lost(client: aio.Client) -> None:
    async def add(number: int) -> None:
        while True:
            kv = await client.get(SETTINGS)
            fields = {} if kv is None else json.loads(kv.value)
            fields[f"f{number}"] = number
            unchanged = aio.Key(SETTINGS).mod_revision == (0 if kv is None else kv.mod_revision)
            txn = client.txn().when(unchanged).then(aio.Put(SETTINGS, json.dumps(fields)))
            if (await txn.commit()).succeeded:
                return

    publishing = [client.set_service_proxies("pay", [f"10.0.0.{n}:1"]) for n in range(1, 4)]
    await asyncio.gather(*map(add, range(4)), *publishing)
    kv = await client.get(SETTINGS)
    assert kv is not None
    fields = json.loads(kv.value)
    assert len(fields.pop("proxies")) == 1
    assert fields == {f"f{number}": number for number in range(4)}
    revision = kv.mod_revision
    await client.set_service_proxies("pay", await client.service_proxies("pay"))
    kv = await client.get(SETTINGS)
    assert kv is not None and kv.mod_revision == revision, "nothing to write"
