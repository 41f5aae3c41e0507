"""Commands on keys: put, get, ls, del, watch, txn."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import BinaryIO

import click

from coordinator_client import EventBatch, KeyValue, PutResult, RangeResult, TxnResult
from coordinator_client.cli import arguments, output
from coordinator_client.cli.options import EXIT_NOT_FOUND, complain, options, shared_options
from coordinator_client.cli.transaction import TransactionError, parse
from coordinator_client.cli.waiting import closing_on_interrupt
from coordinator_client.operations import Nested

KV_COLUMNS = ("key", "value", "revision", "version", "session")


def show_kvs(kvs: Sequence[KeyValue], keys_only: bool = False) -> None:
    """Prints keys as a table."""
    columns = [column for column in KV_COLUMNS if not (keys_only and column == "value")]
    options().printer.table(
        columns,
        (
            (
                output.text(kv.key),
                *([] if keys_only else [output.cell(kv.value)]),
                kv.mod_revision,
                kv.version,
                kv.session or None,
            )
            for kv in kvs
        ),
    )


@click.command()
@click.argument("key", type=arguments.raw)
@click.argument("value", required=False, type=arguments.raw)
@click.option(
    "--session", type=arguments.number, metavar="ID", help="The key goes when this session ends."
)
@click.option("--sequence", is_flag=True, help="Append a number, counted per parent.")
@click.option("--prev", is_flag=True, help="Print the key as it was before, too.")
@shared_options
def put(key: bytes, value: bytes | None, session: int | None, sequence: bool, prev: bool) -> None:
    """Writes a key. Without VALUE, or with -, the value is read from standard input."""
    content = sys.stdin.buffer.read() if value is None or value == b"-" else value
    with options().connect() as client:
        result = client.put(key, content, session=session, sequence=sequence, prev=prev)
    if options().printer.as_json:
        options().printer.json(output.put_json(result))
    else:
        show_put(result)


def show_put(result: PutResult) -> None:
    before = f"  was {output.text(result.prev.value)}" if result.prev else ""
    options().printer.line(f"{output.text(result.key)}  revision {result.revision}{before}")


@click.command()
@click.argument("key", type=arguments.raw)
@click.option("--prefix", is_flag=True, help="All keys that start with KEY, as a table.")
@click.option("--revision", type=arguments.number, default=0, help="As it was at this revision.")
@click.option("--local", is_flag=True, help="What the node has, without asking the others.")
@click.option("--limit", type=arguments.number, default=0, help="At most so many keys.")
@click.option("--keys-only", is_flag=True, help="Leave values out.")
@click.option("--no-newline", is_flag=True, help="Print the value and nothing after it.")
@shared_options
def get(
    key: bytes,
    prefix: bool,
    revision: int,
    local: bool,
    limit: int,
    keys_only: bool,
    no_newline: bool,
) -> None:
    """Prints the value of a key. Exits with 3 if there is no such key."""
    with options().connect() as client:
        found = client.range(
            key, prefix=prefix, revision=revision, local=local, limit=limit, keys_only=keys_only
        )
    printer = options().printer
    if printer.as_json and (prefix or found.kvs):
        printer.json(
            output.range_json(found, keys_only)
            if prefix
            else output.kv_json(found.kvs[0], keys_only)
        )
    elif prefix:
        show_range(found, keys_only)
    elif found.kvs and not keys_only:
        printer.raw(found.kvs[0].value, newline=not no_newline)
    elif found.kvs:
        printer.line(output.text(found.kvs[0].key))
    if not found.kvs:
        fail_not_found(f"no key {'starts with ' if prefix else ''}{output.text(key)}")


def show_range(found: RangeResult, keys_only: bool = False) -> None:
    if found.kvs:
        show_kvs(found.kvs, keys_only)
    if found.more:
        options().printer.line(f"… {found.count - len(found.kvs)} more", style="dim")


def fail_not_found(message: str) -> None:
    complain(message)
    click.get_current_context().exit(EXIT_NOT_FOUND)


@click.command()
@click.argument("path", type=arguments.raw, default=b"/")
@click.option("--revision", type=arguments.number, default=0, help="As they were at this revision.")
@click.option("--local", is_flag=True, help="What the node has, without asking the others.")
@shared_options
def ls(path: bytes, revision: int, local: bool) -> None:
    """Lists the children of a path, one a line."""
    with options().connect() as client:
        names = client.children(path, revision=revision, local=local)
    printer = options().printer
    if printer.as_json:
        printer.json({**output.field("path", path), "children": list(names)})
        return
    for name in names:
        printer.line(name)


@click.command("del")
@click.argument("key", type=arguments.raw)
@click.option("--prefix", is_flag=True, help="All keys that start with KEY, in one revision.")
@click.option("--prev", is_flag=True, help="Print the keys as they were, too.")
@shared_options
def delete(key: bytes, prefix: bool, prev: bool) -> None:
    """Deletes a key. Exits with 3 if there was nothing to delete."""
    with options().connect() as client:
        result = client.delete(key, prefix=prefix, prev=prev)
    printer = options().printer
    if printer.as_json:
        printer.json(output.delete_json(result))
    else:
        printer.line(f"deleted {result.deleted}  revision {result.revision}")
        if result.prevs:
            show_kvs(result.prevs)
    if not result.deleted:
        fail_not_found(f"no key {'starts with ' if prefix else ''}{output.text(key)}")


@click.command()
@click.argument("key", type=arguments.raw)
@click.option("--prefix", is_flag=True, help="All keys that start with KEY.")
@click.option(
    "--revision", type=arguments.number, default=0, help="Begin with this revision, in the past."
)
@click.option("--snapshot", is_flag=True, help="Begin with the keys as they are.")
@click.option("--prev", is_flag=True, help="Show keys as they were before each change, too.")
@click.option(
    "--count", type=click.IntRange(min=1), help="End after so many revisions (or snapshots)."
)
@shared_options
def watch(
    key: bytes, prefix: bool, revision: int, snapshot: bool, prev: bool, count: int | None
) -> None:
    """Prints changes of a key as they happen, until it is interrupted."""
    seen = 0
    with (
        options().connect() as client,
        client.watch(
            key, prefix=prefix, start_revision=revision, snapshot=snapshot, prev=prev
        ) as batches,
        closing_on_interrupt(client.close),
    ):
        for batch in batches:
            show_batch(batch)
            seen += 1
            if seen == count:
                return


def show_batch(batch: EventBatch) -> None:
    printer = options().printer
    if printer.as_json:
        printer.json(output.batch_json(batch))
        return
    for kv in batch.kvs:
        printer.line(f"{batch.revision}  is      {output.text(kv.key)}  {output.text(kv.value)}")
    for event in batch.events:
        before = f"  was {output.text(event.prev.value)}" if event.prev else ""
        if event.is_put:
            shown = f"put     {output.text(event.key)}  {output.text(event.kv.value)}"
        else:
            shown = f"delete  {output.text(event.key)}  {event.cause.value}"
        style = "" if event.is_put else "red"
        printer.line(f"{batch.revision}  {shown}{before}", style=style)


@click.command()
@click.argument("file", type=click.File("rb"), default="-")
@shared_options
def txn(file: BinaryIO) -> None:
    """Runs a transaction that FILE, or standard input, describes as JSON (see docs/cli.md)."""
    try:
        nested = parse(file.read())
    except TransactionError as error:
        raise click.UsageError(output.visible(str(error))) from error
    result = commit(nested)
    printer = options().printer
    if printer.as_json:
        printer.json(output.txn_json(result))
        return
    printer.line(f"{'success' if result.succeeded else 'failure'}  revision {result.revision}")
    for response in result.responses:
        if isinstance(response, PutResult):
            show_put(response)
        elif isinstance(response, RangeResult):
            show_range(response)
        elif isinstance(response, KeyValue):
            printer.line(output.text(response.value))
        else:
            printer.line(str(output.response_json(response)))


def commit(nested: Nested) -> TxnResult:
    with options().connect() as client:
        txn = client.txn().when(*nested.when).then(*nested.then).otherwise(*nested.otherwise)
        return txn.commit()
