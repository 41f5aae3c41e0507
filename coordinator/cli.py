"""The command `coordinator`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import click
import uvloop

# Read when grpc is loaded: what goes wrong is told in our own words, not also in those of a library.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from coordinator import __version__, logs
from coordinator.errors import ConfigError, FatalError
from coordinator.server import serve
from coordinator.settings import load

EXIT_FAILED = 1
SWITCH_INTERVAL_S = 0.0005
"""How long a thread that encodes a snapshot may keep the loop from going on; the interpreter's own value is ten times that."""
EXIT_USAGE = 2


@click.group()
@click.version_option(__version__, prog_name="coordinator")
def main() -> None:
    """Runs a node of a Coordinator cluster."""


@main.command("serve")
@click.option("--config", "file", metavar="FILE", help="TOML file with any of these settings.")
@click.option("--name", help="Name of this node.  [default: n1]")
@click.option("--data-dir", help="Folder for journal and snapshots.  [default: coordinator-data]")
@click.option("--client-address", help="host:port for clients.  [default: 127.0.0.1:2379]")
@click.option("--peer-address", help="host:port for other nodes.  [default: 127.0.0.1:2380]")
@click.option("--cluster", help="The first nodes, name=host:port,... with their peer addresses.")
@click.option("--join", help="Client addresses of the running cluster to which it was added.")
@click.option("--cluster-token", help="Keeps clusters apart; the same on all nodes.")
@click.option("--insecure", is_flag=True, default=None, help="Allow addresses beyond loopback.")
@click.option("--log-level", help="debug, info, warning or error.  [default: info]")
@click.option("--log-format", help="text or json.  [default: text]")
def serve_command(file: str | None, **flags: Any) -> None:
    """Runs one node until it is interrupted.

    Without any option it is a cluster of one, listening on loopback. Every setting can also be given as
    COORDINATOR_NAME, COORDINATOR_DATA_DIR, … in the environment.
    """
    try:
        config = load(flags, file=file)
        logs.configure(config.log_level, config.log_format)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        uvloop.run(serve(config))
    except ConfigError as error:
        click.echo(f"coordinator: {error}", err=True)
        sys.exit(EXIT_USAGE)
    except FatalError as error:
        click.echo(f"coordinator: this node must stop: {error}", err=True)
        sys.exit(EXIT_FAILED)
    except asyncio.CancelledError:
        sys.exit(EXIT_FAILED)
