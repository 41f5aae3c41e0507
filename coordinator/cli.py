"""The command `coordinator`: runs a node, and what is done to the folder of one that does not run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import structlog
import uvloop

# Read when grpc is loaded: what goes wrong is told in our own words, not also in those of a library.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from coordinator import __version__, logs
from coordinator.config import Config, Member
from coordinator.errors import ConfigError, FatalError
from coordinator.migration.command import export_etcd, import_etcd
from coordinator.recovery import rebirths
from coordinator.recovery.inspection import inspect
from coordinator.recovery.render import reborn_lines, report_lines
from coordinator.server import serve
from coordinator.settings import load, parse_address

EXIT_FAILED = 1
EXIT_USAGE = 2
SWITCH_INTERVAL_S = 0.0005
"""How long a thread that encodes a snapshot may keep the loop from going on: a tenth of the interpreter's own value."""


@click.group()
@click.version_option(__version__, prog_name="coordinator")
def main() -> None:
    """Runs a node of a Coordinator cluster, and mends what is left of one."""


main.add_command(import_etcd)
main.add_command(export_etcd)

REVISION_BUMP = click.option(
    "--bump-revision",
    type=click.IntRange(1, 10**15),
    default=rebirths.REVISION_BUMP_DEFAULT,
    show_default=True,
    help="By how much the revision rises: by more than was written after what is kept.",
)


@contextlib.contextmanager
def _exits(stopped: str) -> Iterator[None]:
    """Turns errors into sentences and exit codes."""
    try:
        yield
    except ConfigError as error:
        click.echo(f"coordinator: {error}", err=True)
        sys.exit(EXIT_USAGE)
    except FatalError as error:
        click.echo(f"coordinator: {stopped}{error}", err=True)
        sys.exit(EXIT_FAILED)
    except asyncio.CancelledError:
        sys.exit(EXIT_FAILED)


@main.command("serve")
@click.option("--config", "file", metavar="FILE", help="TOML file with any of these settings.")
@click.option("--name", help="Name of this node.  [default: n1]")
@click.option("--data-dir", help="Folder for journal and snapshots.  [default: coordinator-data]")
@click.option("--client-address", help="host:port for clients.  [default: 127.0.0.1:2379]")
@click.option("--peer-address", help="host:port for other nodes.  [default: 127.0.0.1:2380]")
@click.option("--cluster", help="The first nodes, name=host:port,... with their peer addresses.")
@click.option("--join", help="Client addresses of the running cluster to which it was added.")
@click.option("--cluster-token", help="Keeps clusters apart; the same on all nodes.")
@click.option("--grpc-host", help="What serves gRPC: front or grpcio.  [default: front]")
@click.option("--http-address", help="host:port for HTTP.  [default: none]")
@click.option("--dns-address", help="host:port for DNS, over UDP and TCP.  [default: none]")
@click.option("--dns-domain", help="Domain that services are in.  [default: coordinator.]")
@click.option("--dns-forwarders", help="Resolvers for other names, address:port,...")
@click.option("--checks-allowed-networks", help="Networks that checks may reach, 10.0.0.0/8,...")
@click.option("--insecure", is_flag=True, default=None, help="Allow addresses beyond loopback.")
@click.option("--log-level", help="debug, info, warning or error.  [default: info]")
@click.option("--log-format", help="text or json.  [default: text]")
@click.option(
    "--force-new-cluster",
    is_flag=True,
    help="Once: make this node, the last survivor, the only member of a new cluster.",
)
def serve_command(file: str | None, force_new_cluster: bool, **flags: Any) -> None:
    """Runs one node until it is interrupted.

    Without any option it is a cluster of one, listening on loopback. Every setting can also be given as
    COORDINATOR_NAME, COORDINATOR_DATA_DIR, … in the environment.
    """
    with _exits("this node must stop: "):
        config = load(flags, file=file)
        logs.configure(config.log_level, config.log_format)
        if force_new_cluster:
            _force_once(config)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        uvloop.run(serve(config))


def _force_once(config: Config) -> None:
    """Makes the last survivor a cluster of its own, unless that was done before. Raises ConfigError or FatalError."""
    log, folder = structlog.get_logger(), Path(config.data_dir)
    if rebirths.was_forced(folder):
        log.warning(
            "this folder was made a new cluster before: start without --force-new-cluster; to do it once "
            "more, use the command force-new-cluster",
            data_dir=config.data_dir,
        )
        return
    reborn = rebirths.force_new_cluster(folder, config.peer_address, name=config.name)
    for line in reborn_lines(reborn, config.data_dir):
        log.warning(line)


@main.command("force-new-cluster")
@click.option("--data-dir", required=True, help="Folder of the last survivor, which does not run.")
@click.option(
    "--peer-address", help="Where it listens for others from now on.  [default: as before]"
)
@REVISION_BUMP
def force_command(data_dir: str, peer_address: str | None, bump_revision: int) -> None:
    """Makes a node that does not run the only member of a new cluster, with all that it has.

    For the last survivor of a cluster that has lost its majority for good. What the others had acknowledged and this
    node never received is lost; what it received and was never committed is kept.
    """
    with _exits(""):
        if peer_address is not None:
            parse_address("peer_address", peer_address)
        reborn = rebirths.force_new_cluster(
            Path(data_dir), peer_address, revision_bump=bump_revision
        )
        _print(reborn_lines(reborn, data_dir))


@main.command("restore")
@click.argument("snapshot", metavar="FILE")
@click.option("--config", "file", metavar="FILE", help="The TOML file that the node starts with.")
@click.option("--name", help="Name of this node.  [default: n1]")
@click.option("--data-dir", help="Folder to be made.  [default: coordinator-data]")
@click.option("--peer-address", help="Of a node alone.  [default: 127.0.0.1:2380]")
@click.option(
    "--cluster", help="All nodes of the new cluster, name=host:port,...; the same on all."
)
@click.option("--cluster-token", help="Makes another cluster of the same file; the same on all.")
@REVISION_BUMP
def restore_command(snapshot: str, file: str | None, bump_revision: int, **flags: Any) -> None:
    """Makes the data folder of one node of a new cluster from a snapshot FILE.

    Run it for every node of the cluster, with the same FILE, --cluster, --cluster-token and --bump-revision; then start
    them. Settings are taken from where `coordinator serve` takes them.
    """
    with _exits(""):
        # Nothing listens here, and whether the node may is asked when it starts.
        config = load({**flags, "insecure": True}, file=file)
        reborn = rebirths.restore(
            Path(snapshot),
            Path(config.data_dir),
            config.name,
            config.cluster or (Member(config.name, config.peer_address),),
            token=config.cluster_token,
            revision_bump=bump_revision,
        )
        _print(reborn_lines(reborn, config.data_dir))


@main.command("inspect")
@click.argument("path", metavar="DATA_DIR|FILE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for programs.")
def inspect_command(path: str, as_json: bool) -> None:
    """Checks every byte of a node's data folder, or of a snapshot file, and says what is in it. Changes nothing.

    Exits with 1 if something is damaged.
    """
    with _exits(""):
        report = inspect(Path(path))
        if as_json:
            found = {"ok": report.ok, **msgspec.to_builtins(report)}
            click.echo(msgspec.json.encode(found).decode())
        else:
            _print(report_lines(report))
    if not report.ok:
        sys.exit(EXIT_FAILED)


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        click.echo(line)
