"""Fuzzes one target with coverage: python -m tests.fuzz TARGET [SECONDS [FOLDER]], or replays: TARGET FILE.

What is found is kept in FOLDER (.fuzz/TARGET) and printed with the command that replays it.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

USAGE = __doc__.partition("\n")[0]


def replay(name: str, file: Path) -> None:
    """Runs one kept input, with a traceback if it fails."""
    from tests.fuzz.registry import TARGETS

    target = next(target for target in TARGETS if target.name == name)
    target.run(file.read_bytes())
    print(f"{name}: {file} does what is documented")


def fuzz(name: str, seconds: int, folder: Path) -> None:
    """Runs until the time is over or something is found; ends the program."""
    import atheris

    with atheris.instrument_imports(include=["coordinator"]):
        from tests.fuzz.registry import TARGETS

    target = next(target for target in TARGETS if target.name == name)
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
            print(f"replay it with: {sys.executable} -m tests.fuzz {name} {file}", file=sys.stderr)
            raise

    atheris.Setup(
        [
            sys.argv[0],
            str(corpus),
            f"-max_total_time={seconds}",
            f"-artifact_prefix={folder}/",
            "-max_len=8192",
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
            "-close_fd_mask=0",
        ],
        check,
    )
    atheris.Fuzz()


def main(arguments: list[str]) -> None:
    from tests.fuzz.registry import TARGETS

    names = [target.name for target in TARGETS]
    if not arguments or arguments[0] not in names:
        sys.exit(f"{USAGE}\ntargets: {', '.join(names)}")
    name, *rest = arguments
    logging.disable(logging.CRITICAL)
    if rest and not rest[0].isdigit():
        replay(name, Path(rest[0]))
        return
    fuzz(name, int(rest[0]) if rest else 60, Path(rest[1] if len(rest) > 1 else f".fuzz/{name}"))


if __name__ == "__main__":
    main(sys.argv[1:])
