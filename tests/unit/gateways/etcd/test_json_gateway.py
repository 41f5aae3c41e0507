"""The JSON gateway, with a real HTTP client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from coordinator.gateways.etcd.json_gateway import PATHS, JsonGateway
from coordinator.http.listener import HttpListener
from tests.unit.gateways.etcd.conftest import Etcd


@pytest.fixture
async def web(etcd: Etcd) -> AsyncIterator[aiohttp.ClientSession]:
    listener = HttpListener(1 << 20, 10, 10.0)
    JsonGateway(etcd.node, etcd.gateway.services()).register(listener)
    port = listener.bind("127.0.0.1", 0)
    await listener.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        yield client
    await listener.stop(0)


async def post(web: aiohttp.ClientSession, path: str, **fields: Any) -> tuple[int, Any]:
    headers = fields.pop("headers", None)
    async with web.post(path, data=json.dumps(fields), headers=headers) as answer:
        return answer.status, await answer.json()


async def line(answer: aiohttp.ClientResponse) -> Any:
    async with asyncio.timeout(5):
        return json.loads(await answer.content.readline())


def test_every_method_has_a_path(etcd: Etcd) -> None:
    for service in etcd.gateway.services():
        assert set(PATHS[service.name]) == {method.name for method in service.methods}


async def test_calls(web: aiohttp.ClientSession) -> None:
    assert (await post(web, "/v3/kv/put", key="Zm9v", value="YmFy"))[0] == 200
    status, found = await post(web, "/v3beta/kv/range", key="Zm9v")
    assert status == 200 and found["kvs"][0]["value"] == "YmFy" and found["count"] == "1"
    missing = "etcdserver: requested lease not found"
    assert await post(web, "/v3/kv/lease/revoke", ID="5") == (
        404,
        {"error": missing, "message": missing, "code": 5},
    )
    assert (await post(web, "/v3/auth/enable"))[0] == 412
    async with web.post("/v3/kv/range", data=b"nonsense") as answer:
        assert answer.status == 400 and (await answer.json())["code"] == 3


async def test_the_wish_for_a_leader_is_a_header(etcd: Etcd, web: aiohttp.ClientSession) -> None:
    etcd.bus.elect(None)
    wants = {"Grpc-Metadata-hasleader": "true"}
    status, told = await post(web, "/v3/kv/range", key="Zm9v", serializable=True, headers=wants)
    assert status == 503 and told["message"] == "etcdserver: no leader"
    async with web.get("/health") as answer:
        assert answer.status == 503
        assert await answer.json() == {"health": "false", "reason": "RAFT NO LEADER"}


async def test_a_watch_tells_a_line_for_each_response_until_its_client_is_gone(
    etcd: Etcd, web: aiohttp.ClientSession
) -> None:
    body = json.dumps({"create_request": {"key": "Zm9v"}})
    answer = await web.post("/v3/watch", data=body)
    assert (await line(answer))["result"]["created"] is True
    await etcd.put(b"foo", b"bar")
    (event,) = (await line(answer))["result"]["events"]
    assert event["kv"]["value"] == "YmFy"
    answer.close()
    async with asyncio.timeout(5):
        while etcd.node.watch_count:
            await asyncio.sleep(0.01)


async def test_a_stream_takes_one_object_after_the_other(web: aiohttp.ClientSession) -> None:
    await post(web, "/v3/lease/grant", ID="5", TTL="60")
    async with web.post("/v3/lease/keepalive", data='{"ID": 5}\n{"ID": "6"}') as answer:
        first, second = [json.loads(text) for text in (await answer.text()).splitlines()]
    assert first["result"]["TTL"] == "60" and "TTL" not in second["result"]
    async with web.post("/v3/lease/keepalive", data='{"ID": 5} nonsense') as answer:
        first, second = [json.loads(text) for text in (await answer.text()).splitlines()]
    assert second["error"]["grpc_code"] == 3 and second["error"]["http_code"] == 400
    async with web.post("/v3/lease/keepalive", data="nonsense") as answer:
        assert answer.status == 400 and (await answer.json())["code"] == 3


async def test_versions_and_health(web: aiohttp.ClientSession) -> None:
    async with web.get("/version") as answer:
        assert await answer.json() == {"etcdserver": "3.5.0", "etcdcluster": "3.5.0"}
    async with web.get("/health") as answer:
        assert await answer.json() == {"health": "true", "reason": ""}


async def test_a_body_that_does_not_come_is_not_waited_for(
    etcd: Etcd, web: aiohttp.ClientSession
) -> None:
    etcd.node.timing = replace(etcd.node.timing, http_request_ms=50)

    async def slow() -> AsyncIterator[bytes]:
        yield b'{"key": '
        await asyncio.sleep(5)

    async with web.post("/v3/kv/range", data=slow()) as answer:
        assert answer.status == 408
