"""Lets only one of several programs do something: a key under a session, created only where there is none.

    python examples/lock.py

It prints

    first has it: True
    second has it: False
    first is done
    second has it: True
"""

import os

import coordinator_client
from coordinator_client import Client, Key, Put, Session

ENDPOINTS = os.environ.get("COORDINATOR_ENDPOINTS", "127.0.0.1:2379")
LOCK = "/locks/report"


def take(client: Client, session: Session, name: str) -> bool:
    """Takes the lock if nobody has it; it is free again when the session ends, however that comes about."""
    txn = client.txn().when(Key(LOCK).missing()).then(Put(LOCK, name, session))
    taken = txn.commit().succeeded
    print(f"{name} has it: {taken}")
    return taken


def main() -> None:
    with coordinator_client.connect(ENDPOINTS) as client, client.session(ttl=5) as second:
        with client.session(ttl=5) as first:
            take(client, first, "first")
            take(client, second, "second")
        print("first is done")
        take(client, second, "second")


if __name__ == "__main__":
    main()
