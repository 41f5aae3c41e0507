"""The client library etcd3: run as `python program_etcd3.py HOST:PORT`; speaks to its parent by lines."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import etcd3

host, _, port = sys.argv[1].rpartition(":")
client: Any = etcd3.client(host=host, port=int(port), timeout=10)


def tell(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


client.put("/k/a", "1")
tell(got=client.get("/k/a")[0].decode())
ok, answers = client.transaction(
    compare=[client.transactions.value("/k/a") == "1"],
    success=[client.transactions.put("/k/b", "2"), client.transactions.get("/k/b")],
    failure=[],
)
tell(txn=ok, read=answers[1][0][0].decode())
tell(replaced=client.replace("/k/a", "1", "5"), absent=client.put_if_not_exists("/k/a", "x"))
lease = client.lease(30)
client.put("/k/l", "x", lease=lease)
tell(granted=lease.granted_ttl, keys=[key.decode() for key in lease.keys])
lease.revoke()
tell(gone=client.get("/k/l")[0] is None)
with client.lock("name", ttl=10) as lock:
    tell(locked=lock.is_acquired())
events, cancel = client.watch_prefix("/k/w")
seen: list[str] = []
complete = threading.Event()


def follow() -> None:
    for event in events:
        seen.append(event.key.decode())
        if len(seen) == 20:
            complete.set()


threading.Thread(target=follow, daemon=True).start()
for number in range(20):
    if number == 10:
        tell(half=True)
        sys.stdin.readline()
    while True:
        try:
            client.put(f"/k/w{number:02}", str(number))
            break
        except (etcd3.exceptions.ConnectionFailedError, etcd3.exceptions.ConnectionTimeoutError):
            time.sleep(0.1)
complete.wait(20)
cancel()
tell(seen=seen)
