"""Commands on the cluster itself: status, members, and changes of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from coordinator_client import Client, Member, MemberStatus, errors
from coordinator_client.cli import arguments, output
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
        for message, told_by in alarms(answers.values()).items():
            printer.line(f"ALARM of {', '.join(told_by)}: {message}", style="bold red")
    if not any(isinstance(answer, MemberStatus) for answer in answers.values()):
        click.get_current_context().exit(EXIT_UNAVAILABLE)


def alarms(answers: Iterable[Answer]) -> dict[str, list[str]]:
    """Returns what is wrong, and the names of the members that say so."""
    found: dict[str, list[str]] = {}
    for answer in answers:
        if isinstance(answer, MemberStatus):
            for alarm in answer.alarms:
                found.setdefault(alarm.message, []).append(answer.name)
    return found


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


MEMBER_COLUMNS = ("name", "client", "peer", "role", "lag", "connected", "id")


@click.command()
@shared_options
def members() -> None:
    """Lists the members of the cluster, as `member list` does."""
    show_members()


@click.group()
def member() -> None:
    """Lists, adds, promotes and removes members. They are named by their name or their id."""


@member.command("list")
@shared_options
def list_members() -> None:
    """Lists the members of the cluster."""
    show_members()


def show_members() -> None:
    with options().connect() as client:
        found = client.members(lag=True)
    printer = options().printer
    if printer.as_json:
        printer.json({"members": [output.member_json(one) for one in found]})
    else:
        printer.table(MEMBER_COLUMNS, map(member_row, found))


def member_row(one: Member) -> tuple[object, ...]:
    role = "leader" if one.leader else "voter" if one.voter else "learner"
    connected = "yes" if one.connected else "no"
    return one.name, one.client_address, one.peer_address, role, one.lag, connected, one.id


@member.command("add")
@click.argument("name", type=arguments.text)
@click.argument("peer_address", type=arguments.text)
@shared_options
def add(name: str, peer_address: str) -> None:
    """Adds a member that listens for the others at PEER_ADDRESS (host:port).

    It does not vote yet. Start it with `coordinator serve --join`, and promote it once it has caught up.
    """
    with options().connect() as client:
        show_change("added", client.add_member(name, peer_address))


@member.command("promote")
@click.argument("member", type=arguments.text)
@click.option("--wait", is_flag=True, help="Until it has caught up, for at most --timeout.")
@shared_options
def promote(member: str, wait: bool) -> None:
    """Lets a member vote that was added and has caught up."""
    with options().connect() as client:
        show_change("promoted", client.promote_member(member, wait=wait))


@member.command("remove")
@click.argument("member", type=arguments.text)
@click.option("--force", is_flag=True, help="Even if those that are left lack a quorum now.")
@shared_options
def remove(member: str, force: bool) -> None:
    """Removes a member for good; its node stops. Exits with 3 if there is no such member."""
    with options().connect() as client:
        client.remove_member(member, force=force)
    printer = options().printer
    if printer.as_json:
        printer.json({"removed": member})
    else:
        printer.line(f"removed {member}")


@member.command("update-address")
@click.argument("member", type=arguments.text)
@click.argument("peer_address", type=arguments.text)
@shared_options
def update_address(member: str, peer_address: str) -> None:
    """Tells all members that MEMBER listens for them at PEER_ADDRESS (host:port) from now on."""
    with options().connect() as client:
        show_change("updated", client.update_member_address(member, peer_address))


def show_change(what: str, one: Member) -> None:
    printer = options().printer
    if printer.as_json:
        printer.json({"member": output.member_json(one)})
    else:
        printer.line(f"{what} {one.name}  id {one.id}  peer {one.peer_address}")


@click.command("move-leader")
@click.argument("target", required=False, type=arguments.text)
@shared_options
def move_leader(target: str | None) -> None:
    """Lets TARGET lead, or else the member that is furthest. Writes wait meanwhile."""
    with options().connect() as client:
        leader = client.transfer_leadership(target)
    printer = options().printer
    if printer.as_json:
        printer.json({"leader_name": leader})
    else:
        printer.line(f"leader {leader}")
