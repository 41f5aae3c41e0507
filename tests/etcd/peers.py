"""A real etcd, as a process of its own with its data in a folder of the test."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

START_TIMEOUT_S = 30.0


def installed() -> bool:
    """Whether this machine has an etcd."""
    return shutil.which("etcd") is not None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def etcd(folder: Path) -> Iterator[str]:
    """Starts an etcd of one member; gives its address, host:port, when it serves."""
    client, peer = (f"127.0.0.1:{free_port()}" for _ in range(2))
    urls = [
        *("--listen-client-urls", f"http://{client}"),
        *("--advertise-client-urls", f"http://{client}"),
        *("--listen-peer-urls", f"http://{peer}"),
        *("--initial-advertise-peer-urls", f"http://{peer}"),
        *("--initial-cluster", f"default=http://{peer}"),
    ]
    folder.mkdir(parents=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["etcd", "--data-dir", str(folder / "data"), *urls],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            with grpc.insecure_channel(client) as channel:
                grpc.channel_ready_future(channel).result(timeout=START_TIMEOUT_S)
            _wait_leader(client)
            yield client
        finally:
            process.kill()
            process.wait()


def _wait_leader(address: str) -> None:
    from tests.etcd.remote import Remote

    deadline = time.monotonic() + START_TIMEOUT_S
    with Remote(address) as remote:
        while not remote.leads():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the etcd at {address} has no leader")
