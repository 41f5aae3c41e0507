"""A database with one primary at a time: when it hangs, the next one takes over, and what it writes later is refused.

    python examples/database_primary.py

It prints

    the primary is db-1
    order-1: written by db-1
    db-1 hangs
    the primary is db-2
    order-2: written by db-2
    db-1 goes on, and still believes that it is the primary
    order-3: refused by db-1
    stored: order-1 by db-1, order-2 by db-2
"""

import os
import signal
import subprocess
import sys

import coordinator_client
from coordinator_client import Client, FenceStale, Leaders

ENDPOINTS = os.environ.get("COORDINATOR_ENDPOINTS", "127.0.0.1:2379")
ELECTION = "orders-primary"
ORDERS = "/orders/"


def serve(name: str) -> None:
    """One node of the database, a program of its own: waits until it is the primary, and writes what it is told.

    The orders stand in the cluster. A storage of its own would have to remember the highest fence that it saw, and to
    refuse a write with a lower one.
    """
    with coordinator_client.connect(ENDPOINTS) as client:
        election = client.election(ELECTION, ttl=2)
        election.campaign(name)
        for line in sys.stdin:
            order = line.strip()
            try:
                election.guarded_put(ORDERS + order, name)
                print(f"{order}: written by {name}", flush=True)
            except FenceStale:
                print(f"{order}: refused by {name}", flush=True)
        election.resign()


class Database:
    """A running node, and the connection of a client to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.running = subprocess.Popen(
            [sys.executable, __file__, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, order: str) -> None:
        assert self.running.stdin is not None
        self.running.stdin.write(f"{order}\n")
        self.running.stdin.flush()

    def answer(self) -> str:
        assert self.running.stdout is not None
        return self.running.stdout.readline().strip()

    def stop(self) -> None:
        self.running.kill()
        self.running.communicate()


def follow(leaders: Leaders) -> str:
    """What every client of the database does: waits until there is another primary, and goes there."""
    while (leader := leaders.next(timeout_s=15)) is None:
        pass
    print(f"the primary is {leader.text}")
    return leader.text


def run(client: Client, leaders: Leaders, nodes: dict[str, Database]) -> None:
    nodes["db-1"] = Database("db-1")
    primary = nodes[follow(leaders)]
    primary.send("order-1")
    print(primary.answer())

    nodes["db-2"] = Database("db-2")
    print("db-1 hangs")
    primary.running.send_signal(signal.SIGSTOP)
    old, primary = primary, nodes[follow(leaders)]
    primary.send("order-2")
    print(primary.answer())

    print("db-1 goes on, and still believes that it is the primary")
    old.send("order-3")
    old.running.send_signal(signal.SIGCONT)
    print(old.answer())

    stored = client.range(ORDERS, prefix=True).kvs
    print("stored:", ", ".join(f"{kv.name.removeprefix(ORDERS)} by {kv.text}" for kv in stored))


def main() -> None:
    nodes: dict[str, Database] = {}
    with (
        coordinator_client.connect(ENDPOINTS) as client,
        client.election(ELECTION).observe() as leaders,
    ):
        try:
            run(client, leaders, nodes)
        finally:
            for node in nodes.values():
                node.stop()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(sys.argv[1])
    else:
        main()
