"""Whether a node lives, and is ready."""

from __future__ import annotations

import aiohttp

from coordinator.http.listener import HttpListener
from coordinator.http.wellness import register_wellness


async def test_ready_when_there_is_nothing_against_it() -> None:
    why = "it knows no leader"
    listener = HttpListener(1, 10, 10.0)
    register_wellness(listener, lambda: why)
    port = listener.bind("127.0.0.1", 0)
    await listener.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        async with client.get("/livez") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        async with client.get("/readyz") as answer:
            assert answer.status == 503 and why in await answer.text()
        why = ""
        async with client.get("/readyz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
    await listener.stop(0)
