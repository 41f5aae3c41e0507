"""The commands that move a store: `coordinator import-etcd` and `coordinator export-etcd`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from typing import Any

import click

from coordinator.migration.move import Report, move
from coordinator.migration.store import Compacted, Store, StoreError
from coordinator.naming import split_address

EXIT_FAILED = 1
DEFAULT = "127.0.0.1:2379"


def endpoints_of(option: str, text: str) -> list[str]:
    """Returns addresses from a list with commas, which may be URLs. Raises click.UsageError."""
    found = []
    for each in text.split(","):
        address = each.strip().removeprefix("http://").rstrip("/")
        if address.startswith("https://"):
            raise click.UsageError(f"{option}: {each}: connections with TLS are not supported")
        try:
            split_address(address)
        except ValueError as error:
            raise click.UsageError(f"{option}: {error}") from None
        found.append(address)
    return found


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that both have."""
    for option in (
        click.option("--prefix", default="", help="Only keys that start with it.  [default: all]"),
        click.option("--once", is_flag=True, help="Copy and compare, and do not follow."),
        click.option("--overwrite", is_flag=True, help="Replace what the target has there."),
    ):
        command = option(command)
    return command


@click.command("import-etcd")
@click.option("--from", "source", required=True, help="Endpoints of the etcd, host:port,...")
@click.option("--to", "target", default=DEFAULT, show_default=True, help="Those of Coordinator.")
@options
def import_etcd(source: str, target: str, **more: Any) -> None:
    """Copies a live etcd into Coordinator, and follows it until it is interrupted."""
    run(
        ("the etcd", endpoints_of("--from", source)),
        ("coordinator", endpoints_of("--to", target)),
        **more,
    )


@click.command("export-etcd")
@click.option(
    "--from", "source", default=DEFAULT, show_default=True, help="Endpoints of Coordinator."
)
@click.option("--to", "target", required=True, help="Those of the etcd, host:port,...")
@options
def export_etcd(source: str, target: str, **more: Any) -> None:
    """Copies Coordinator into an etcd, and follows it until it is interrupted."""
    run(
        ("coordinator", endpoints_of("--from", source)),
        ("the etcd", endpoints_of("--to", target)),
        **more,
    )


def run(
    source: tuple[str, list[str]],
    target: tuple[str, list[str]],
    *,
    prefix: str,
    once: bool,
    overwrite: bool,
) -> None:
    """Moves, and tells what came of it; exits with 1 if that is no copy."""
    bar: Any = None

    def progress(done: int, total: int) -> None:
        nonlocal bar
        if not sys.stderr.isatty():
            if done == total:
                click.echo(f"copied {done} keys", err=True)
            return
        if bar is None or not done:
            bar = click.progressbar(length=total or 1, label="copying", file=sys.stderr)
        bar.update(done - bar.pos if total else 1)
        if done == total:
            bar.render_finish()

    try:
        report = asyncio.run(_move(source, target, prefix.encode(), progress, once, overwrite))
    except (StoreError, Compacted) as error:
        click.echo(f"coordinator: {error}", err=True)
        sys.exit(EXIT_FAILED)
    for difference in report.shown:
        click.echo(str(difference))
    followed = "" if once else f", followed {report.followed} revisions"
    click.echo(
        f"copied {report.copied} keys{followed}; compared {report.compared} at revision "
        f"{report.revision}: {report.differences or 'no'} differences"
    )
    if report.differences:
        sys.exit(EXIT_FAILED)


async def _move(
    source: tuple[str, list[str]],
    target: tuple[str, list[str]],
    prefix: bytes,
    progress: Callable[[int, int], None],
    once: bool,
    overwrite: bool,
) -> Report:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    one, other = Store(*source), Store(*target)
    try:
        return await move(
            one, other, prefix, progress, stop=None if once else stop, overwrite=overwrite
        )
    finally:
        await one.close()
        await other.close()
