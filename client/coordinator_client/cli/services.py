"""Commands on services: register, services."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import click

from coordinator_client import (
    Change,
    ChangeType,
    Check,
    Client,
    EventBatch,
    GrpcCheck,
    HttpCheck,
    Instance,
    TcpCheck,
)
from coordinator_client.cli import arguments, output
from coordinator_client.cli.child import Child
from coordinator_client.cli.keys import fail_not_found
from coordinator_client.cli.options import options, shared_options
from coordinator_client.cli.waiting import closing_on_interrupt, wait_for_end
from coordinator_client.errors import InvalidArgument
from coordinator_client.instances import ROOT
from coordinator_client.views import ServiceTable

INSTANCE_COLUMNS = ("id", "endpoint", "state", "zone", "version", "metadata")
STYLES = {ChangeType.ADDED: "green", ChangeType.CHANGED: "yellow", ChangeType.REMOVED: "red"}


@click.command()
@click.argument("name", type=arguments.text)
@click.option(
    "--address", required=True, type=arguments.text, help="IP address or host name of the instance."
)
@click.option("--port", required=True, type=click.IntRange(1, 65535))
@click.option("--id", type=arguments.text, help="Of the instance.  [default: made up]")
@click.option(
    "--ttl", type=float, default=10.0, show_default=True, help="Seconds it may be silent."
)
@click.option(
    "--grace",
    type=float,
    default=1.0,
    show_default=True,
    help="Seconds it lives once its connection is lost.",
)
@click.option("--no-grace", is_flag=True, help="It lives as long as --ttl says, in any case.")
@click.option(
    "--metadata", type=arguments.text, multiple=True, callback=arguments.pairs, metavar="NAME=VALUE"
)
@click.option("--tag", type=arguments.text, multiple=True)
@click.option("--zone", type=arguments.text)
@click.option("--version", "instance_version", type=arguments.text)
@click.option(
    "--check-http", type=arguments.text, metavar="URL", help="Check an address or path over HTTP."
)
@click.option("--check-tcp", is_flag=True, help="Check that a connection can be made.")
@click.option(
    "--check-grpc", type=arguments.text, metavar="SERVICE", help="Check over gRPC; '': all of it."
)
@click.option("--check-interval", type=float, default=10.0, show_default=True, help="Seconds.")
@click.option("--check-timeout", type=float, default=2.0, show_default=True, help="Seconds.")
@click.option(
    "--deregister-after", type=float, help="Seconds that a check is critical before it is removed."
)
@click.argument("command", nargs=-1, metavar="[-- COMMAND…]")
@shared_options
def register(
    name: str,
    address: str,
    port: int,
    id: str | None,
    ttl: float,
    grace: float,
    no_grace: bool,
    metadata: dict[str, str],
    tag: tuple[str, ...],
    zone: str | None,
    instance_version: str | None,
    check_http: str | None,
    check_tcp: bool,
    check_grpc: str | None,
    check_interval: float,
    check_timeout: float,
    deregister_after: float | None,
    command: tuple[str, ...],
) -> None:
    """Registers an instance of service NAME for as long as COMMAND runs, and returns its exit code.

    Signals go to COMMAND, which dies when this program is killed. Without COMMAND, the instance stays registered
    until this program is interrupted.
    """
    pace = {
        "interval": check_interval,
        "timeout": check_timeout,
        "deregister_critical_after": deregister_after,
    }
    checks = checks_of(check_http, check_tcp, check_grpc, pace)
    if deregister_after is not None and not checks:
        raise click.UsageError("--deregister-after needs a check")
    with options().connect() as client:
        registration = client.register(
            name,
            address,
            port,
            id=id,
            ttl=ttl,
            disconnect_grace=None if no_grace else grace,
            metadata=metadata,
            tags=tag,
            zone=zone,
            version=instance_version,
            checks=checks,
        )
        with registration:
            if command:
                code = Child(command).run()
            else:
                wait_for_end(say=partial(show_registered, registration.instance))
                code = 0
    click.get_current_context().exit(code)


def checks_of(
    http: str | None, tcp: bool, grpc: str | None, pace: dict[str, Any]
) -> dict[str, Check]:
    """Returns the checks that were asked for, each named after its kind."""
    checks: dict[str, Check] = {}
    if http is not None:
        checks["http"] = HttpCheck(http, **pace)
    if tcp:
        checks["tcp"] = TcpCheck(**pace)
    if grpc is not None:
        checks["grpc"] = GrpcCheck(service=grpc, **pace)
    return checks


def show_registered(instance: Instance) -> None:
    printer = options().printer
    if printer.as_json:
        printer.json(output.instance_json(instance))
    else:
        printer.line(f"registered {instance.service}  {instance.id}  {instance.endpoint}")


@click.command()
@click.argument("name", required=False, type=arguments.text)
@click.option("--watch", is_flag=True, help="Then print changes as they happen.")
@click.option(
    "--count", type=click.IntRange(min=1), help="With --watch: end after so many changes."
)
@shared_options
def services(name: str | None, watch: bool, count: int | None) -> None:
    """Lists all services, or the instances of one. Exits with 3 if service NAME has none."""
    if count is not None and not watch:
        raise click.UsageError("--count needs --watch")
    with options().connect() as client:
        if watch:
            with closing_on_interrupt(client.close):
                for number, change in enumerate(follow(client, name), 1):
                    show_change(change)
                    if number == count:
                        return
        elif name is None:
            list_services(client)
        else:
            list_instances(client, name)


def list_services(client: Client) -> None:
    found = {name: client.instances(name, proxies=False) for name in client.services()}
    counted = [
        (name, len(instances), sum(instance.passing for instance in instances))
        for name, instances in found.items()
    ]
    printer = options().printer
    if printer.as_json:
        columns = ("name", "instances", "passing")
        printer.json({"services": [dict(zip(columns, row, strict=True)) for row in counted]})
    else:
        printer.table(("service", "instances", "passing"), counted)


def list_instances(client: Client, name: str) -> None:
    instances = client.instances(name, proxies=False)
    printer = options().printer
    if printer.as_json:
        shown = [output.instance_json(instance) for instance in instances]
        printer.json({"service": name, "instances": shown})
    elif instances:
        checked = any(instance.checks for instance in instances)
        columns = (*INSTANCE_COLUMNS, "checks") if checked else INSTANCE_COLUMNS
        printer.table(columns, (instance_row(i)[: len(columns)] for i in instances))
    if not instances:
        fail_not_found(f"service {name} has no instances")


def instance_row(instance: Instance) -> tuple[object, ...]:
    metadata = " ".join(f"{name}={value}" for name, value in sorted(instance.metadata.items()))
    return (
        instance.id,
        instance.endpoint,
        state_word(instance),
        instance.zone,
        instance.version,
        metadata,
        " ".join(f"{name}={check.status}" for name, check in sorted(instance.checks.items())),
    )


def state_word(instance: Instance) -> str:
    """How an instance is doing, and whether its session is over and only the guard keeps it."""
    return instance.state.status + (",guarded" if instance.state.guarded else "")


def follow(client: Client, name: str | None) -> Iterator[Change]:
    """Yields changes of one service or of all; at first, one `added` for each instance there is."""
    if name is not None:
        with client.discover(name, proxies=False) as view:
            yield from view
        return
    tables: dict[str, ServiceTable] = {}
    with client.watch(ROOT, prefix=True, snapshot=True) as batches:
        for batch in batches:
            for service in services_in(batch) | (tables.keys() if batch.snapshot else set()):
                if service not in tables:
                    try:
                        tables[service] = ServiceTable(service, proxies=False)
                    except InvalidArgument:
                        # A key that is no registration.
                        continue
                yield from tables[service].apply(batch)


def services_in(batch: EventBatch) -> set[str]:
    """Returns the names of services whose keys a batch touches."""
    keys = [kv.key for kv in batch.kvs] + [event.key for event in batch.events]
    return {
        key.decode(errors="replace").removeprefix(ROOT).partition("/")[0]
        for key in keys
        if key.startswith(ROOT.encode())
    }


def show_change(change: Change) -> None:
    printer = options().printer
    if printer.as_json:
        printer.json(output.change_json(change))
        return
    instance = change.instance
    why = change.cause.value if change.type is ChangeType.REMOVED else state_word(instance)
    printer.line(
        f"{change.type.value:<8} {instance.service}  {instance.id}  {instance.endpoint}  {why}",
        style=STYLES[change.type],
    )
