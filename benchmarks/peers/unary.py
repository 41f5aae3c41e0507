"""One call, one operation, by any gRPC client: etcd's API on etcd and on ours, through `grpc.aio` and through h2load.

h2load (of nghttp2, in C) takes less of the machine than any Python client, so what it shows is the server's. It knows
nothing of gRPC: what it sent is checked against what the cluster says afterwards.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.wrappers_pb2 import BytesValue

from benchmarks.peers.etcd_client import EtcdClient
from benchmarks.peers.loops import VALUE, Step, closed_loop, gets, key_of, local_gets, puts
from benchmarks.peers.report import Sample
from benchmarks.peers.systems import System
from benchmarks.peers.usage import cpu_s
from coordinator.gateways.etcd.pb import kv_pb2 as pb

H2LOAD = "h2load"
CONNECTIONS = 4
ECHO_SERVER = Path(__file__).parent / "echo_server.py"
ECHO_PATH = "coordinator.bench.Echo/Call"
PUT = "unary put, 64 callers, h2load"
PUT_CPU = "server CPU for such a put"
ECHO = "unary echo, 64 callers, h2load"
KEY = "/bench/0"
PREFIX_BYTES = 5
"""Before every message."""
SLACK = 0.1
"""Of the operations: so many may lie before and after what h2load counts."""

LOOPS: dict[str, tuple[int, Callable[[EtcdClient], Step]]] = {
    "unary put, 64 callers": (64, puts),
    "unary put, 256 callers": (256, puts),
    "unary linearizable get, 64 callers": (64, gets),
    "unary local get, 64 callers": (64, local_gets),
}
"""How many callers, and what each does, through `grpc.aio`."""


@dataclass(frozen=True)
class _Blast:
    callers: int
    method: str
    request: bytes
    writes: bool = False


_PUT = pb.PutRequest(key=KEY.encode(), value=VALUE).SerializeToString()
_GET = pb.RangeRequest(key=KEY.encode()).SerializeToString()
_LOCAL_GET = pb.RangeRequest(key=KEY.encode(), serializable=True).SerializeToString()

BLASTS = {
    PUT: _Blast(64, "Put", _PUT, writes=True),
    "unary put, 256 callers, h2load": _Blast(256, "Put", _PUT, writes=True),
    "unary linearizable get, 64 callers, h2load": _Blast(64, "Range", _GET),
    "unary local get, 64 callers, h2load": _Blast(64, "Range", _LOCAL_GET),
}


def unary_rows() -> dict[str, str]:
    """Returns the unit of every row that can be measured here."""
    rows = dict.fromkeys(LOOPS, "ops/s")
    if shutil.which(H2LOAD):
        rows |= dict.fromkeys(BLASTS, "ops/s") | {PUT_CPU: "us", ECHO: "ops/s"}
    return rows


async def run_unary(system: System, seconds: float, rows: list[str]) -> dict[str, Sample]:
    """Measures calls of etcd's API at the member that leads."""
    await (await system.connect()).close()
    endpoint = system.etcd_endpoints[await system.find_leader()]
    client = EtcdClient(endpoint)
    try:
        await client.prepare([key_of(caller) for caller in range(256)], VALUE)
        await closed_loop(system, 64, min(seconds, 2.0), puts(client))
        found = {}
        for row in rows:
            if row in LOOPS:
                callers, make = LOOPS[row]
                found[row] = await closed_loop(system, callers, seconds, make(client))
            elif row in BLASTS:
                found[row] = await _blast(system, client, endpoint, BLASTS[row], seconds)
        if PUT_CPU in rows and PUT in found:
            found[PUT_CPU] = Sample(found[PUT].cpu_us or 0.0)
        return found
    finally:
        await client.close()


async def _blast(
    system: System, client: EtcdClient, endpoint: str, blast: _Blast, seconds: float
) -> Sample:
    """Lets h2load call one method. Raises RuntimeError if any call failed."""
    before_count = await client.read_write_count(KEY)
    before = cpu_s(system.processes)
    path = f"etcdserverpb.KV/{blast.method}"
    done, length = await blast_with(
        f"http://{endpoint}/{path}", blast.request, blast.callers, seconds
    )
    cpu = cpu_s(system.processes) - before
    if blast.writes:
        written = await client.read_write_count(KEY) - before_count
        if abs(written - done) > SLACK * done + blast.callers:
            raise RuntimeError(f"h2load made {done} puts, but {written} were applied")
    return Sample(done / length, cpu_us=cpu / done * 1e6)


async def blast_with(url: str, request: bytes, callers: int, seconds: float) -> tuple[int, int]:
    """Lets h2load call a method; returns how many calls in how many seconds. Raises RuntimeError if any failed."""
    length = max(1, round(seconds))
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "request"
        body.write_bytes(b"\0" + len(request).to_bytes(4, "big") + request)
        words = [
            *(H2LOAD, "-t", "1", "-c", str(CONNECTIONS)),
            *("-m", str(callers // CONNECTIONS), "-D", str(length)),
            *("-d", str(body), "-H", "content-type: application/grpc", "-H", "te: trailers"),
            url,
        ]
        child = await asyncio.create_subprocess_exec(
            *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        told = (await child.communicate())[0].decode()
    done = _figure(r"(\d+) succeeded", told)
    if done == 0 or _figure(r"(\d+) failed", told) or _figure(r"(\d+) errored", told):
        raise RuntimeError(f"calls of h2load failed:\n{told}")
    # To h2load, an error of gRPC is a success like others, but it has no message.
    if _figure(r"\((\d+)\) data", told) < done * PREFIX_BYTES:
        raise RuntimeError(f"calls were answered without a message:\n{told}")
    return done, length


def _figure(pattern: str, told: str) -> int:
    found = re.search(pattern, told)
    if found is None:
        raise RuntimeError(f"h2load told something else than expected:\n{told}")
    return int(found[1])


async def measure_echo(host: str, seconds: float) -> Sample:
    """Measures what a host of calls costs by itself, with 64 callers of a call that does nothing."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ECHO_SERVER), host),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdin is not None and child.stdout is not None
    try:
        port = int(await child.stdout.readline())
        request = BytesValue(value=VALUE).SerializeToString()
        url = f"http://127.0.0.1:{port}/{ECHO_PATH}"
        await blast_with(url, request, 64, 1)
        before = cpu_s([child.pid])
        done, length = await blast_with(url, request, 64, seconds)
        return Sample(done / length, cpu_us=(cpu_s([child.pid]) - before) / done * 1e6)
    finally:
        child.stdin.close()
        await child.wait()
