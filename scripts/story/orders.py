"""The order service: it has every order paid by one of the payment instances that the cluster knows."""

from __future__ import annotations

import itertools
import socket
import sys
import threading
import time

import coordinator_client
from coordinator_client import ChangeType, Instance, ServiceView
from scripts.story.speech import say

ORDER_PERIOD_S = 0.4
PAYMENT_TIMEOUT_S = 1.0


def report_changes(view: ServiceView) -> None:
    for change in view:
        if change.type is ChangeType.REMOVED:
            say(f"{change.instance.id} is gone: {change.cause.value}")
        elif change.type is ChangeType.ADDED:
            say(f"sees {change.instance.id} at {change.instance.endpoint}")


def pay(order: str, instance: Instance) -> str:
    """Has an instance pay an order; raises OSError if it does not answer."""
    address = (instance.address, instance.port)
    with socket.create_connection(address, timeout=PAYMENT_TIMEOUT_S) as connection:
        connection.sendall(f"{order}\n".encode())
        answer = connection.makefile().readline().strip()
    if not answer:
        raise ConnectionError("no answer")
    return answer


def main(endpoints: str) -> None:
    with coordinator_client.connect(endpoints) as client, client.discover("payments") as view:
        say(f"watches for payments, through node {client.endpoint}")
        threading.Thread(target=report_changes, args=(view,), daemon=True).start()
        view.wait_for(1)
        for number in itertools.count(1):
            instances = view.instances()
            if instances:
                instance = instances[number % len(instances)]
                try:
                    say(pay(f"order {number}", instance))
                except OSError:
                    say(f"order {number} has to wait: {instance.id} does not answer")
            else:
                say(f"order {number} has to wait: nobody takes payments")
            time.sleep(ORDER_PERIOD_S)


if __name__ == "__main__":
    main(sys.argv[1])
