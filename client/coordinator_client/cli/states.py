"""Commands with which operators take an instance out of service and put it back, or remove it."""

from __future__ import annotations

import click

from coordinator_client.cli import arguments
from coordinator_client.cli.options import options, shared_options


@click.command()
@click.argument("service", type=arguments.text)
@click.argument("instance", type=arguments.text)
@click.option("--note", default="", type=arguments.text, help="A sentence for people.")
@click.option("--off", is_flag=True, help="Let it take part again.")
@shared_options
def drain(service: str, instance: str, note: str, off: bool) -> None:
    """Lets nobody begin anything new with INSTANCE of SERVICE; what is under way goes on.

    Exits with 3 if there is no such instance.
    """
    set_state(service, instance, "passing" if off else "draining", note)


@click.command()
@click.argument("service", type=arguments.text)
@click.argument("instance", type=arguments.text)
@click.option("--note", default="", type=arguments.text, help="A sentence for people.")
@click.option("--off", is_flag=True, help="Let it take part again.")
@shared_options
def maintenance(service: str, instance: str, note: str, off: bool) -> None:
    """Takes INSTANCE of SERVICE out of service while it is worked on.

    Exits with 3 if there is no such instance.
    """
    set_state(service, instance, "passing" if off else "maintenance", note)


@click.command()
@click.argument("service", type=arguments.text)
@click.argument("instance", type=arguments.text)
@shared_options
def deregister(service: str, instance: str) -> None:
    """Removes INSTANCE of SERVICE, whose program is not told, from the list.

    It comes back when its program registers anew. Exits with 3 if there is no such instance.
    """
    with options().connect() as client:
        client.deregister(service, instance)
    printer = options().printer
    if printer.as_json:
        printer.json({"service": service, "id": instance, "deregistered": True})
    else:
        printer.line(f"{service}  {instance}  deregistered")


def set_state(service: str, instance: str, status: str, note: str) -> None:
    with options().connect() as client:
        client.set_instance_state(service, instance, status, note)
    printer = options().printer
    if printer.as_json:
        state = {"status": status, "note": note}
        printer.json({"service": service, "id": instance, "state": state})
    else:
        printer.line(f"{service}  {instance}  {status}")
