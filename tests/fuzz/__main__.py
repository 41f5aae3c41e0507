"""Fuzzes one target with coverage: python -m tests.fuzz TARGET [SECONDS [FOLDER]], or replays: TARGET FILE.

What is found is kept in FOLDER (.fuzz/TARGET) and printed with the command that replays it.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from pathlib import Path

from tests.fuzz.target import Target

USAGE = __doc__.partition("\n")[0]


def load_targets(*, coverage: bool) -> dict[str, Target]:
    """Imports the program; with `coverage` so that it tells which of its lines ran."""
    if coverage:
        import atheris

        instrumented = atheris.instrument_imports(include=["coordinator"])
    else:
        instrumented = contextlib.nullcontext()
    with instrumented:
        from tests.fuzz.registry import TARGETS
    return {target.name: target for target in TARGETS}


def replay(target: Target, file: Path) -> None:
    """Runs one kept input, with a traceback if it fails."""
    target.run(file.read_bytes())
    print(f"{target.name}: {file} does what is documented")


def fuzz(target: Target, seconds: int, folder: Path) -> None:
    """Runs until the time is over or something is found; ends the program."""
    import atheris

    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)

    def check(content: bytes) -> None:
        try:
            target.run(content)
        except BaseException:
            file = folder / "found"
            file.write_bytes(content)
            command = f"python -m tests.fuzz {target.name} {file}"
            traceback.print_exc()
            print(f"replay it with: {command}", file=sys.stderr)
            raise

    limits = ["-max_len=8192", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]
    limits.append("-keep_seed=1")  # those that run no other lines are still worth mutating
    prefix = f"-artifact_prefix={folder}/"
    atheris.Setup([sys.argv[0], str(corpus), f"-max_total_time={seconds}", prefix, *limits], check)
    atheris.Fuzz()


def main(arguments: list[str]) -> None:
    name, *rest = arguments or [""]
    replays = bool(rest) and not rest[0].isdigit()
    targets = load_targets(coverage=bool(name) and not replays)
    if name not in targets:
        sys.exit(f"{USAGE}\ntargets: {', '.join(targets)}")
    logging.disable(logging.CRITICAL)
    if replays:
        replay(targets[name], Path(rest[0]))
        return
    seconds = int(rest[0]) if rest else 60
    fuzz(targets[name], seconds, Path(rest[1] if len(rest) > 1 else f".fuzz/{name}"))


if __name__ == "__main__":
    main(sys.argv[1:])
