"""A cache of several nodes that grows: every program finds the same node for a key, and few keys move.

    python examples/cache_ring.py

It prints

    4 nodes hold 1000 keys: cache-1 ..., cache-2 ..., cache-3 ..., cache-4 ...
    two programs agree on the node of every key
    cache-5 is added: ... of 1000 keys move, all of them to cache-5
    cache-2 is gone: only its ... keys move
"""

import os
from contextlib import ExitStack

import coordinator_client
from coordinator_client import Balancer, Client, ConsistentHash, ServiceView

ENDPOINTS = os.environ.get("COORDINATOR_ENDPOINTS", "127.0.0.1:2379")
SERVICE = "cache"
KEYS = [f"user-{number}" for number in range(1000)]


def node_of(balancer: Balancer, key: str) -> str:
    """A program of yours asks the node at `call.endpoint` for the key here."""
    with balancer.pick(key) as call:
        return call.instance.id


def place(balancer: Balancer) -> dict[str, str]:
    return {key: node_of(balancer, key) for key in KEYS}


def add(client: Client, number: int) -> ExitStack:
    """Registers a node; it goes when what is returned is closed."""
    node = ExitStack()
    node.enter_context(client.register(SERVICE, "127.0.0.1", 11210 + number, id=f"cache-{number}"))
    return node


def wait_for_number(view: ServiceView, number: int) -> None:
    changes = view.changes()
    while len(view.instances()) != number:
        changes.next(timeout_s=10)


def moved(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [key for key in KEYS if before[key] != after[key]]


def main() -> None:
    with (
        coordinator_client.connect(ENDPOINTS) as client,
        coordinator_client.connect(ENDPOINTS) as other_client,
        client.discover(SERVICE) as view,
        other_client.discover(SERVICE) as other_view,
        ExitStack() as running,
    ):
        nodes = [running.enter_context(add(client, number)) for number in range(1, 5)]
        wait_for_number(view, 4)
        wait_for_number(other_view, 4)
        balancer = view.balancer(ConsistentHash())
        first = place(balancer)
        names = sorted(set(first.values()))
        shares = ", ".join(f"{name} {list(first.values()).count(name)}" for name in names)
        print(f"{len(names)} nodes hold {len(KEYS)} keys: {shares}")

        assert place(other_view.balancer(ConsistentHash())) == first
        print("two programs agree on the node of every key")

        running.enter_context(add(client, 5))
        wait_for_number(view, 5)
        second = place(balancer)
        away = moved(first, second)
        assert {second[key] for key in away} == {"cache-5"}
        # With `hash(key) % number of nodes`, four of five keys would have moved.
        assert len(away) < len(KEYS) // 3
        print(f"cache-5 is added: {len(away)} of {len(KEYS)} keys move, all of them to cache-5")

        nodes[1].close()
        wait_for_number(view, 4)
        away = moved(second, place(balancer))
        assert {second[key] for key in away} == {"cache-2"}
        assert len(away) == list(second.values()).count("cache-2")
        print(f"cache-2 is gone: only its {len(away)} keys move")


if __name__ == "__main__":
    main()
