"""The commands of `coordctl`, put together."""

from __future__ import annotations

from importlib.metadata import version

import click

from coordinator_client.cli import keys, members, proxies, services, sessions, snapshots, states
from coordinator_client.cli.options import ErrorExits, shared_options

DISTRIBUTION = "raft-coordinator-client"


@click.group(cls=ErrorExits, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(DISTRIBUTION), prog_name="coordctl")
@shared_options
def root() -> None:
    """Talks to a Coordinator cluster: keys, sessions, services, members.

    Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 unavailable, 5 outcome unknown.
    """


for command in (
    keys.put,
    keys.get,
    keys.ls,
    keys.delete,
    keys.watch,
    keys.txn,
    sessions.session,
    services.register,
    services.services,
    proxies.proxies,
    states.drain,
    states.maintenance,
    states.deregister,
    members.status,
    members.members,
    members.member,
    members.move_leader,
    snapshots.snapshot,
):
    root.add_command(command)
