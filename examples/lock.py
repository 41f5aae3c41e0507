"""Lets only one of several programs do something at a time, and proves to what it writes that it still may.

    python examples/lock.py

It prints

    first has it
    second waits for it in vain
    second has it
    first writes too late
    the report: by second
"""

import os

import coordinator_client
from coordinator_client import DeadlineExceeded, FenceStale

ENDPOINTS = os.environ.get("COORDINATOR_ENDPOINTS", "127.0.0.1:2379")
REPORT = "/reports/today"


def main() -> None:
    with coordinator_client.connect(ENDPOINTS) as client:
        first, second = client.lock("report", ttl=5), client.lock("report", ttl=5)
        first.acquire()
        print("first has it")
        # All that a program needs to write in the name of the first one.
        holder, fence = first.key, first.fence
        try:
            second.acquire(timeout_s=0.2)
        except DeadlineExceeded:
            print("second waits for it in vain")
        first.release()

        with second:
            print("second has it")
            second.guarded_put(REPORT, "by second")
            try:
                client.guarded_put(REPORT, "by first", holder=holder, fence=fence)
            except FenceStale:
                print("first writes too late")
        report = client.get(REPORT)
        print("the report:", report.text if report else "missing")


if __name__ == "__main__":
    main()
