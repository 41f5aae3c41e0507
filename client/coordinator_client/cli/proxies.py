"""The command that publishes proxies of a service."""

from __future__ import annotations

import click

from coordinator_client import Instance
from coordinator_client.cli import arguments, output
from coordinator_client.cli.options import options, shared_options


@click.command()
@click.argument("service", type=arguments.text)
@click.argument("addresses", nargs=-1, type=arguments.text, metavar="[ADDRESS:PORT…]")
@click.option("--off", is_flag=True, help="Publish none: callers find the instances again.")
@shared_options
def proxies(service: str, addresses: tuple[str, ...], off: bool) -> None:
    """Publishes proxies of SERVICE, which callers find in place of its instances, or lists them.

    The proxies named are all there are from then on. Without any, prints those that are published.
    """
    if off and addresses:
        raise click.UsageError("--off takes no ADDRESS:PORT")
    with options().connect() as client:
        if off or addresses:
            client.set_service_proxies(service, addresses)
        found = client.service_proxies(service)
    show_proxies(service, found)


def show_proxies(service: str, found: tuple[Instance, ...]) -> None:
    printer = options().printer
    if printer.as_json:
        shown = [output.instance_json(proxy) for proxy in found]
        printer.json({"service": service, "proxies": shown})
        return
    for proxy in found:
        printer.line(f"{service}  {proxy.id}  {proxy.endpoint}")
    if not found:
        printer.line(f"{service} has no proxies")
