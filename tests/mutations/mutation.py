"""What a deliberate breakage of the program is, and how the tests are run against it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 90


@dataclass(frozen=True)
class Mutation:
    """One mechanism, taken away: `old` stands once in `file`, and with `new` in its place `tests` must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str
    """Arguments of pytest, separated by blanks: files or tests, relative to the root of the checkout."""


def complain(mutation: Mutation) -> str | None:
    """Says why a mutation can't be applied to the program as it is, if so."""
    found = (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.old)
    if found == 1:
        return None
    return (
        f"{mutation.name}: {mutation.file} holds its old text {found} times instead of once: bring "
        f"the list in tests/mutations up to date:\n{mutation.old}"
    )


def copy_checkout(folder: Path) -> None:
    """Copies what the unit tests need, so that breaking it harms nobody."""
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "mutations", "cluster")
    shutil.copytree(ROOT / "coordinator", folder / "coordinator", ignore=ignored)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)


def run_mutated(mutation: Mutation, folder: Path) -> str | None:
    """Runs the tests against a copy of the checkout with one mutation; says what is wrong, if they did not notice."""
    path = folder / mutation.file
    original = path.read_text(encoding="utf-8")
    path.write_text(original.replace(mutation.old, mutation.new), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--timeout=30", "--tb=line"]
    command += ["-p", "no:cacheprovider", "-p", "no:xdist", *mutation.tests.split()]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    # Same size, same second: a cached module could pass for the mutated one.
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return f"{mutation.name}: its tests did not end within {TIMEOUT_S} s"
    finally:
        path.write_text(original, encoding="utf-8")
    if result.returncode == 0:
        return f"{mutation.name} survived: {mutation.tests} pass without it; a test is missing"
    if result.returncode != 1 or not re.search(r"\d+ failed", result.stdout):
        return f"{mutation.name}: its tests could not be run:\n{result.stdout}{result.stderr}"
    return None


def of_consensus(name: str, module: str, old: str, new: str, *tests: str) -> Mutation:
    """A mutation of `coordinator/consensus/<module>.py`, noticed by `tests/unit/consensus/test_<test>.py`."""
    return _in_room("consensus", name, module, old, new, tests)


def of_node(name: str, module: str, old: str, new: str, *tests: str) -> Mutation:
    """Likewise of `coordinator/node/`."""
    return _in_room("node", name, module, old, new, tests)


def of_state(name: str, module: str, old: str, new: str, *tests: str) -> Mutation:
    """Likewise of `coordinator/state/`."""
    return _in_room("state", name, module, old, new, tests)


def _in_room(
    room: str, name: str, module: str, old: str, new: str, tests: tuple[str, ...]
) -> Mutation:
    files = " ".join(f"tests/unit/{room}/test_{test}.py" for test in tests)
    return Mutation(name, f"coordinator/{room}/{module}.py", old, new, files)
