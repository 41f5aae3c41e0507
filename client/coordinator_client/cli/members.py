"""Commands on the cluster itself: status, members."""

from __future__ import annotations

from typing import Any

import click

from coordinator_client import Client, MemberStatus, errors
from coordinator_client.cli import output
from coordinator_client.cli.options import EXIT_UNAVAILABLE, options, sentence, shared_options

STATUS_COLUMNS = ("name", "endpoint", "role", "term", "revision", "applied", "keys", "sessions")
Answer = MemberStatus | errors.CoordinatorError


@click.command()
@click.option("--digest", is_flag=True, help="Compute the digest of each member's state, too.")
@shared_options
def status(digest: bool) -> None:
    """Shows every member's own view. Exits with 4 if none answers."""
    with options().connect() as client:
        answers = {address: ask(client, address, digest) for address in addresses(client)}
    printer = options().printer
    if printer.as_json:
        shown = [answer_json(address, answer) for address, answer in answers.items()]
        printer.json({"members": shown})
    else:
        columns = (*STATUS_COLUMNS, *(["digest"] if digest else []))
        printer.table(columns, (answer_row(a, answer) for a, answer in answers.items()))
    if not any(isinstance(answer, MemberStatus) for answer in answers.values()):
        click.get_current_context().exit(EXIT_UNAVAILABLE)


def addresses(client: Client) -> list[str]:
    """Returns the client addresses of all members, as far as they are known, else the endpoints."""
    try:
        known = [member.client_address for member in client.members()]
    except errors.CoordinatorError:
        known = []
    return [address for address in known if address] or list(client.endpoints)


def ask(client: Client, address: str, digest: bool) -> Answer:
    try:
        return client.status(address, digest=digest)
    except errors.CoordinatorError as error:
        return error


def answer_json(address: str, answer: Answer) -> dict[str, Any]:
    if isinstance(answer, MemberStatus):
        return output.status_json(answer)
    return {"endpoint": address, "error": sentence(answer, address)}


def answer_row(address: str, answer: Answer) -> tuple[object, ...]:
    if not isinstance(answer, MemberStatus):
        return "", address, "unavailable"
    return (
        answer.name,
        address,
        answer.role,
        answer.term,
        answer.revision,
        answer.applied_index,
        answer.key_count,
        answer.session_count,
        *([answer.digest] if answer.digest else []),
    )


@click.command()
@shared_options
def members() -> None:
    """Lists the members of the cluster."""
    with options().connect() as client:
        found = client.members()
    printer = options().printer
    if printer.as_json:
        printer.json({"members": [output.member_json(member) for member in found]})
        return
    printer.table(
        ("name", "client", "peer", "leader", "connected", "id"),
        (
            (
                member.name,
                member.client_address,
                member.peer_address,
                "yes" if member.leader else "no",
                "yes" if member.connected else "no",
                member.id,
            )
            for member in found
        ),
    )
