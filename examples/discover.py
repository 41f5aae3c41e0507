"""Finds the instances of a service, and learns at once when they come and go.

    python examples/discover.py

It prints

    added mail-1 127.0.0.1:2501
    added mail-2 127.0.0.1:2502
    callers may use 127.0.0.1:2501, 127.0.0.1:2502
    removed mail-1 session-closed
    callers may use 127.0.0.1:2502
"""

import os

import coordinator_client
from coordinator_client import ChangeType, ServiceView

ENDPOINTS = os.environ.get("COORDINATOR_ENDPOINTS", "127.0.0.1:2379")


def show(view: ServiceView) -> None:
    print("callers may use", ", ".join(instance.endpoint for instance in view.instances()))


def main() -> None:
    with coordinator_client.connect(ENDPOINTS) as client, client.discover("mail") as view:
        changes = view.changes()
        first = client.register("mail", "127.0.0.1", 2501, id="mail-1").open()
        second = client.register("mail", "127.0.0.1", 2502, id="mail-2").open()
        for _ in range(2):
            change = changes.next(timeout_s=5)
            print(change.type.value, change.instance.id, change.instance.endpoint)
        show(view)

        first.close()
        change = changes.next(timeout_s=5)
        assert change.type is ChangeType.REMOVED
        print(change.type.value, change.instance.id, change.cause.value)
        show(view)
        second.close()


if __name__ == "__main__":
    main()
