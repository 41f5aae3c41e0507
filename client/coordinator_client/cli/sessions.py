"""Commands on sessions: open, list, close."""

from __future__ import annotations

import sys
from functools import partial

import click

from coordinator_client import Session, SessionRecord
from coordinator_client.cli import arguments, output
from coordinator_client.cli.options import EXIT_FAILED, complain, options, shared_options
from coordinator_client.cli.waiting import wait_for_end


@click.group()
def session() -> None:
    """Opens, lists and closes sessions."""


@session.command("open")
@click.option("--ttl", type=float, default=60.0, show_default=True, help="Seconds it lives.")
@click.option("--grace", type=float, help="Seconds it lives once its connection is lost.")
@click.option(
    "--metadata",
    type=arguments.text,
    multiple=True,
    callback=arguments.pairs,
    metavar="NAME=VALUE",
    help="Said of it in lists.",
)
@click.option("--keep", is_flag=True, help="Keep it alive until interrupted, then close it.")
@shared_options
def open_session(ttl: float, grace: float | None, metadata: dict[str, str], keep: bool) -> None:
    """Opens a session and prints its id. Without --keep it lives for its TTL."""
    with options().connect() as client:
        opened = client.session(ttl, disconnect_grace=grace, metadata=metadata).open()
        show = partial(show_opened, opened)
        if not keep:
            show()
            return
        wait_for_end(opened.lost.wait, say=show)
        if opened.lost.is_set():
            complain(str(opened.lost_reason))
            sys.exit(EXIT_FAILED)
        opened.close()


def show_opened(opened: Session) -> None:
    """Prints what names a session."""
    printer = options().printer
    if printer.as_json:
        printer.json({"id": output.identifier(opened.id), "ttl_s": opened.ttl_s})
    else:
        printer.line(str(opened.id))


@session.command("list")
@click.option("--local", is_flag=True, help="What the node has, without asking the others.")
@shared_options
def list_sessions(local: bool) -> None:
    """Lists all open sessions."""
    with options().connect() as client:
        found = client.sessions(local=local)
    printer = options().printer
    if printer.as_json:
        printer.json({"sessions": [output.session_json(record) for record in found]})
    else:
        printer.table(("id", "ttl", "grace", "keys", "metadata"), map(session_row, found))


def session_row(record: SessionRecord) -> tuple[object, ...]:
    grace = None if record.disconnect_grace_s is None else f"{record.disconnect_grace_s:g} s"
    metadata = " ".join(f"{name}={value}" for name, value in sorted(record.metadata.items()))
    return record.id, f"{record.ttl_s:g} s", grace, record.key_count, metadata


@session.command("close")
@click.argument("id", type=arguments.number)
@shared_options
def close_session(id: int) -> None:
    """Ends a session and deletes its keys. Exits with 3 if there is no such session."""
    with options().connect() as client:
        deleted = client.close_session(id)
    printer = options().printer
    if printer.as_json:
        printer.json({"id": output.identifier(id), "deleted": deleted})
    else:
        printer.line(f"closed {id}  deleted {deleted}")
