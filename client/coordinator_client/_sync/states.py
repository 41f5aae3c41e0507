# Generated from coordinator_client/_async/states.py by scripts/unasync.py; edit that file instead.
"""The states of instances that others than their own program set: operators, and checks."""

from __future__ import annotations

from dataclasses import replace

from coordinator_client import errors
from coordinator_client._sync.connection import Connection
from coordinator_client._sync.txn import Txn
from coordinator_client._sync.writes import Writes
from coordinator_client.compares import Key
from coordinator_client.instances import InstanceState, definition_key, state_key
from coordinator_client.model import KeyValue
from coordinator_client.operations import Get, Put

WRITE_ATTEMPTS_MAX = 10


def write_state(
    connection: Connection, writes: Writes, service: str, id: str, state: InstanceState
) -> None:
    """Writes the state of an instance that there is, under the session that holds its definition.

    Raises NotFound if there is no such instance, Unavailable if others write to it all the time.
    """
    definition, key = definition_key(service, id), state_key(service, id)
    for _ in range(WRITE_ATTEMPTS_MAX):
        reading = Txn(connection, Writes(connection)).then(Get(definition), Get(key))
        found, before = (reading.commit()).responses
        if not isinstance(found, KeyValue):
            raise errors.NotFound(
                f"service {service} has no instance {id}", reason="INSTANCE_NOT_FOUND"
            )
        # Whose session is over stays marked as such, whatever is said of it.
        guarded = isinstance(before, KeyValue) and InstanceState.from_json(before.value).guarded
        value = replace(state, guarded=guarded).to_json()
        # The session may have changed, or ended, since the look.
        unchanged = Key(definition).mod_revision == found.mod_revision
        txn = Txn(connection, writes).when(unchanged).then(Put(key, value, found.session))
        try:
            if (txn.commit()).succeeded:
                return
        except errors.SessionNotFound:
            continue
    raise errors.Unavailable(f"instance {id} of {service} changes all the time")
