#!/usr/bin/env python3
"""Generates the client's blocking face, `_sync/`, from its asyncio face, `_async/`.

The source is written so that replacing words is enough: whatever waits does so through the names of `_io_async`, for
which `_io_sync` has blocking twins. The result is formatted by ruff, which must be installed where this runs.

    python scripts/unasync.py            writes what differs
    python scripts/unasync.py --check    writes nothing; exit code 1 and a list if something differs
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "client"
SOURCE = Path("coordinator_client/_async")
BLOCKING = Path("coordinator_client/_sync")
"""Folders, relative to client/."""

HEADER = "# Generated from {source} by scripts/unasync.py; edit that file instead.\n"

REPLACEMENTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\basync (def|with|for)\b", r"\1"),
        (r"\bawait +", ""),
        (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
        (r"\bStopAsyncIteration\b", "StopIteration"),
        (r"\bAsync(Iterator|Iterable|Generator)\b", r"\1"),
        (r"\b_io_async\b", "_io_sync"),
        (r"\b_async\b", "_sync"),
        (r"\bcoordinator_client\.aio\b", "coordinator_client"),
    )
)
LEFT_OVER = re.compile(r"\b(async|await|asyncio|aio)\b")


def translate(text: str) -> str:
    """Returns blocking source for asyncio source; raises ValueError if a word of asyncio is left."""
    for pattern, replacement in REPLACEMENTS:
        text = pattern.sub(replacement, text)
    for number, line in enumerate(text.splitlines(), 1):
        if found := LEFT_OVER.search(line):
            raise ValueError(f"line {number}: {found[0]!r} has no blocking twin: {line.strip()}")
    return text


def run_ruff(text: str, name: Path, *arguments: str) -> str:
    command = [
        sys.executable,
        "-m",
        "ruff",
        *arguments,
        "--quiet",
        "--stdin-filename",
        str(name),
        "-",
    ]
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"ruff can't read the blocking twin of {name.name}:\n{done.stderr}")
    return done.stdout


def generate_file(source: Path) -> str:
    """Returns the blocking twin of one file of the asyncio face."""
    try:
        text = translate(source.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{source.name}, {error}") from None
    text = HEADER.format(source=(SOURCE / source.name).as_posix()) + text
    name = CLIENT / BLOCKING / source.name
    # Names changed, and with them the order of imports and the places where lines are broken.
    return run_ruff(
        run_ruff(text, name, "check", "--select=I,UP028", "--fix", "--unsafe-fixes"), name, "format"
    )


def generate_blocking_face(out: Path) -> None:
    """Writes the blocking face below `out`, a stand-in for client/."""
    (out / BLOCKING).mkdir(parents=True, exist_ok=True)
    for source in sorted((CLIENT / SOURCE).glob("*.py")):
        (out / BLOCKING / source.name).write_text(generate_file(source), encoding="utf-8")


def find_differences() -> dict[Path, str | None]:
    """Returns what `_sync/` should hold where it does not: text by file, None for a file too many."""
    folder = CLIENT / BLOCKING
    wanted = {
        folder / source.name: generate_file(source) for source in (CLIENT / SOURCE).glob("*.py")
    }
    different: dict[Path, str | None] = {
        path: text
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    return different | {path: None for path in folder.glob("*.py") if path not in wanted}


def main() -> int:
    parser = argparse.ArgumentParser(description="Generate the client's blocking face.")
    parser.add_argument("--check", action="store_true", help="change nothing, fail on differences")
    options = parser.parse_args()
    different = find_differences()
    for path, text in sorted(different.items()):
        if options.check:
            print(f"{path.relative_to(ROOT)}: is not what its source generates", file=sys.stderr)
        elif text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if different and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
