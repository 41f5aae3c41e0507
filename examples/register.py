"""Registers an instance of a service for as long as a block lasts.

    python examples/register.py

It prints

    reports-1 is registered: 127.0.0.1:8080 passing
    now it is in maintenance
    after the block: ()
"""

import os

import coordinator_client

ENDPOINTS = os.environ.get("COORDINATOR_ENDPOINTS", "127.0.0.1:2379")


def main() -> None:
    with coordinator_client.connect(ENDPOINTS) as client:
        # If this program dies, the instance goes by itself: three seconds later at most.
        with client.register("reports", "127.0.0.1", 8080, id="reports-1", ttl=3) as registration:
            (instance,) = client.instances("reports")
            print(f"{instance.id} is registered: {instance.endpoint} {instance.state.status}")

            registration.set_state("maintenance", "back in a minute")
            (instance,) = client.instances("reports")
            print(f"now it is in {instance.state.status}")
        print(f"after the block: {client.instances('reports')}")


if __name__ == "__main__":
    main()
