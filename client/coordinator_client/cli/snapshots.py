"""The command that fetches a snapshot."""

from __future__ import annotations

import dataclasses
import sys
import time

import click

from coordinator_client.cli.options import EXIT_FAILED, complain, options, shared_options

PROGRESS_PERIOD_S = 0.5
MIB = 1024 * 1024


@click.group()
def snapshot() -> None:
    """Saves what the cluster holds to a file, from which `coordinator restore` makes a new cluster."""


@snapshot.command("save")
@click.argument("file", type=click.Path(dir_okay=False))
@shared_options
def save(file: str) -> None:
    """Saves a snapshot to FILE: all that was written before. Progress goes to standard error.

    FILE is there once all of it came, was checked and is on the disk. --timeout bounds the wait for each piece.
    """
    told_s = 0.0

    def progress(received: int, size: int) -> None:
        nonlocal told_s
        now_s = time.monotonic()
        if received == size or now_s - told_s > PROGRESS_PERIOD_S:
            told_s = now_s
            share = 100 * received // size
            print(f"{received / MIB:.1f} of {size / MIB:.1f} MiB, {share} %", file=sys.stderr)

    with options().connect() as client:
        try:
            saved = client.save_snapshot(file, progress=progress)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            complain(f"can't write {file}: {error.strerror}")
            click.get_current_context().exit(EXIT_FAILED)
    printer = options().printer
    if printer.as_json:
        printer.json(dataclasses.asdict(saved))
    else:
        printer.line(
            f"saved {saved.path}  revision {saved.revision}  index {saved.index}  term {saved.term}  "
            f"{saved.size_bytes} bytes  blake2b {saved.checksum}"
        )
