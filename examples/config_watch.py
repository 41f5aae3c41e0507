"""Keeps a program's settings current: it begins with all of them, and gets every change after that, from any node.

    python examples/config_watch.py

It prints

    settings: colour=blue size=3
    colour is now green
    size is gone
"""

import asyncio
import os

from coordinator_client import aio

ENDPOINTS = os.environ.get("COORDINATOR_ENDPOINTS", "127.0.0.1:2379")
PREFIX = "/config/shop/"


def name_of(key: bytes) -> str:
    return key.decode().removeprefix(PREFIX)


async def change_settings(client: aio.Client) -> None:
    await client.put(PREFIX + "colour", "green")
    await client.delete(PREFIX + "size")


async def main() -> None:
    async with aio.connect(ENDPOINTS) as client:
        await client.put(PREFIX + "colour", "blue")
        await client.put(PREFIX + "size", "3")
        async with client.watch(PREFIX, prefix=True, snapshot=True) as batches:
            settings = {kv.key: kv.text for kv in (await batches.next()).kvs}
            print("settings:", *(f"{name_of(key)}={text}" for key, text in settings.items()))

            # Somebody else does this, somewhere.
            changes = asyncio.create_task(change_settings(client))
            for _ in range(2):
                batch = await batches.next()
                for event in batch.events:
                    if event.is_put:
                        print(f"{name_of(event.key)} is now {event.kv.text}")
                    else:
                        print(f"{name_of(event.key)} is gone")
            await changes


if __name__ == "__main__":
    asyncio.run(main())
