"""What all commands share: where the cluster is, how to print, and what an error means to the shell."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from coordinator_client import Client, connect, errors
from coordinator_client.cli.output import Printer

ENDPOINTS_VARIABLE = "COORDINATOR_ENDPOINTS"
ENDPOINTS_DEFAULT = "127.0.0.1:2379"
TIMEOUT_S_DEFAULT = 5.0

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_FOUND = 3
EXIT_UNAVAILABLE = 4
EXIT_OUTCOME_UNKNOWN = 5
EXIT_INTERRUPTED = 130

EXIT_CODES: tuple[tuple[type[errors.CoordinatorError], int], ...] = (
    (errors.InvalidArgument, EXIT_USAGE),
    (errors.NotFound, EXIT_NOT_FOUND),
    (errors.Unavailable, EXIT_UNAVAILABLE),
    (errors.DeadlineExceeded, EXIT_UNAVAILABLE),
    (errors.OutcomeUnknown, EXIT_OUTCOME_UNKNOWN),
)

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def exit_code(error: errors.CoordinatorError) -> int:
    """Returns the exit code that stands for an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), EXIT_FAILED)


@dataclass
class Options:
    """How one call of `coordctl` was meant."""

    endpoints: str
    output: str = "table"
    timeout_s: float = TIMEOUT_S_DEFAULT

    def connect(self) -> Client:
        """Returns a client that begins with the first endpoint."""
        return connect(self.endpoints, timeout_s=self.timeout_s, shuffle=False)

    @property
    def printer(self) -> Printer:
        return Printer(as_json=self.output == "json")


def options() -> Options:
    """Returns the options of the call under way."""
    root = click.get_current_context().find_root()
    if not isinstance(root.obj, Options):
        root.obj = Options(os.environ.get(ENDPOINTS_VARIABLE) or ENDPOINTS_DEFAULT)
    return root.obj


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None and parameter.name is not None:
        setattr(options(), parameter.name, value)


def shared_options(command: CommandT) -> CommandT:
    """Adds the options that every command takes, and the program itself before the command."""
    for decorate in (
        click.option(
            "--timeout",
            "timeout_s",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            expose_value=False,
            callback=_remember,
            help=f"How long a call may take.  [default: {TIMEOUT_S_DEFAULT:g}]",
        ),
        click.option(
            "-o",
            "--output",
            type=click.Choice(["table", "json"]),
            expose_value=False,
            callback=_remember,
            help="How to print: for people, or as JSON for programs.  [default: table]",
        ),
        click.option(
            "--endpoints",
            metavar="HOST:PORT,…",
            expose_value=False,
            callback=_remember,
            help=f"Nodes to talk to.  [default: ${ENDPOINTS_VARIABLE}, or {ENDPOINTS_DEFAULT}]",
        ),
    ):
        command = decorate(command)
    return command


class ErrorExits(click.Group):
    """A group of commands whose errors become sentences and exit codes."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except errors.CoordinatorError as error:
            click.echo(f"coordctl: {error}", err=True)
            context.exit(exit_code(error))
        except KeyboardInterrupt:
            context.exit(EXIT_INTERRUPTED)


def pairs(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> Any:
    """Returns `NAME=VALUE` options as a dictionary."""
    found = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{pair!r} is not of the form NAME=VALUE")
        found[name] = value
    return found
