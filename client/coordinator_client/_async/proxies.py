"""Publishes the proxies of a service."""

from __future__ import annotations

from collections.abc import Sequence

from coordinator_client import errors
from coordinator_client._async.connection import Connection
from coordinator_client._async.txn import Txn
from coordinator_client._async.writes import Writes
from coordinator_client.compares import Key
from coordinator_client.instances import Instance
from coordinator_client.model import KeyValue
from coordinator_client.operations import Delete, Get, Put
from coordinator_client.service_settings import settings_key, with_proxies

WRITE_ATTEMPTS_MAX = 10


async def write_proxies(
    connection: Connection, writes: Writes, service: str, proxies: Sequence[Instance]
) -> None:
    """Writes the proxies of a service, and leaves all else that is set for it as it is.

    Raises Unavailable if others write to it all the time.
    """
    key = settings_key(service)
    for _ in range(WRITE_ATTEMPTS_MAX):
        found = await read_settings(connection, service)
        value = with_proxies(found, proxies)
        if value == (None if found is None else found.value):
            return
        # What somebody else set since the look must not be lost.
        unchanged = Key(key).mod_revision == (0 if found is None else found.mod_revision)
        change = Delete(key) if value is None else Put(key, value)
        txn = Txn(connection, writes).when(unchanged).then(change)
        if (await txn.commit()).succeeded:
            return
    raise errors.Unavailable(f"the settings of {service} change all the time")


async def read_settings(connection: Connection, service: str) -> KeyValue | None:
    """Returns the settings of a service."""
    reading = Txn(connection, Writes(connection)).then(Get(settings_key(service)))
    found = (await reading.commit()).responses[0]
    return found if isinstance(found, KeyValue) else None
