"""Everything that reads from a socket or a file, given bytes that nobody vouches for.

Hypothesis mutates valid inputs here, for a moment; `python -m tests.fuzz` goes on for as long as it is let.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator.consensus.snapshots import SnapshotStore
from tests.fuzz import files
from tests.fuzz.registry import TARGETS
from tests.fuzz.target import LOOP, Target, mutated, pack, unpack
from tests.unit.consensus.faults import FaultDisk

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = {"engine": 20, "node": 25, "state": 60, "entry": 60, "connection": 60}
SECONDS = int(os.environ.get("FUZZ_SECONDS", "30"))
"""How long each target is fuzzed with coverage."""


@pytest.fixture(scope="module", autouse=True)
def loop() -> Iterator[None]:
    yield
    LOOP.close()


by_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


@by_target
def test_seeds(target: Target) -> None:
    for seed in target.seeds():
        target.run(seed)


@by_target
def test_mutations_of_seeds(target: Target) -> None:
    @settings(
        max_examples=EXAMPLES.get(target.name, 80),
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(target.seeds()))
    def check(content: bytes) -> None:
        target.run(content)

    check()


def test_what_a_small_snapshot_expands_to_is_held_piece_by_piece() -> None:
    bomb = files.bomb(256 << 20)
    assert len(bomb) < 64 << 10
    disk = FaultDisk()
    store = SnapshotStore(disk)
    store.receive(0, bomb)
    snapshot = store.accept()
    tracemalloc.start()
    try:
        assert sum(map(len, store.slices(snapshot))) == 256 << 20
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.full
@pytest.mark.timeout(SECONDS + 120)
@by_target
def test_with_coverage(target: Target) -> None:
    pytest.importorskip("atheris", reason="pip install -e '.[fuzz]'")
    # Kept beyond this run: what is found has to be looked at, and what was learned helps the next run.
    folder = ROOT / ".fuzz" / target.name
    for old in folder.glob("*") if folder.exists() else ():
        if old.is_file():
            old.unlink()
    command = [sys.executable, "-m", "tests.fuzz", target.name, str(SECONDS), str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        # Also what made the fuzzer itself give up: an input without an end, or one that eats all memory.
        found = [file.relative_to(ROOT) for file in sorted(folder.iterdir()) if file.is_file()]
        again = "\n".join(f"again: python -m tests.fuzz {target.name} {file}" for file in found)
        pytest.fail(f"{result.stdout[-2000:]}\n{result.stderr[-6000:]}\n{again}", pytrace=False)


def test_an_input_that_takes_too_long_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(content: bytes) -> None:
        began = time.process_time()
        while time.process_time() - began < 0.02:
            pass

    monkeypatch.setattr("tests.fuzz.target.SECONDS_MAX", 0.01)
    with pytest.raises(AssertionError, match="took"):
        Target("slow", wait, lambda: []).run(b"")


@given(st.binary(max_size=40))
def test_packed_parts_come_back(content: bytes) -> None:
    parts = [content, b"", content[:3]]
    assert unpack(pack(parts)) == parts
    unpack(content)
