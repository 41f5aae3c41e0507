"""What all commands share: where the cluster is, how to print, and what an error means to the shell."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from coordinator_client import Client, connect, errors
from coordinator_client.cli import arguments
from coordinator_client.cli.output import Printer, visible

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

# What servers and gRPC say of options that have other names and units there.
TTL_LIMITS = re.compile(r"\bttl_ms\b.*must be from (\d+) to (\d+)$")
GRACE_LIMITS = "must be from 0 to ttl_ms"
NOT_SECONDS = re.compile(r"^(ttl|disconnect_grace|timeout_s)(?= is .*, not .* seconds$)")
OPTION_NAMES = {"ttl": "--ttl", "disconnect_grace": "--grace", "timeout_s": "--timeout"}
TIMED_OUT = ("Deadline Exceeded", "DEADLINE_EXCEEDED")

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def exit_code(error: errors.CoordinatorError) -> int:
    """Returns the exit code that stands for an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), EXIT_FAILED)


def complain(message: str) -> None:
    """Prints a sentence to standard error."""
    click.echo(f"coordctl: {visible(message)}", err=True)


def sentence(error: errors.CoordinatorError, waited_for: str) -> str:
    """Returns what an error says, in the words of the command line. `waited_for`: the nodes that were asked."""
    message = str(error)
    if found := TTL_LIMITS.search(message):
        least, most = (int(limit) / 1000 for limit in found.groups())
        return f"--ttl must be from {least:.10g} to {most:.10g} seconds"
    if GRACE_LIMITS in message:
        return "--grace must be from 0 to --ttl seconds"
    message = NOT_SECONDS.sub(lambda found: OPTION_NAMES[found[0]], message)
    for phrase in TIMED_OUT:
        message = message.replace(
            phrase, f"no answer from {waited_for} within {options().timeout_s:g} s"
        )
    return message


@dataclass
class Options:
    """How one call of `coordctl` was meant."""

    endpoints: str
    output: str = "table"
    timeout_s: float = TIMEOUT_S_DEFAULT

    def connect(self) -> Client:
        """Returns a client that begins with the first endpoint.

        It does not number writes: that takes a session, which is not worth while for the one write of a command.
        """
        return connect(
            self.endpoints, timeout_s=self.timeout_s, shuffle=False, numbered_writes=False
        )

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
            type=arguments.text,
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
            complain(sentence(error, options().endpoints))
            context.exit(exit_code(error))
        except BrokenPipeError:
            # Whoever reads, such as head, has enough. What is left to be written goes nowhere.
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
        except KeyboardInterrupt:
            context.exit(EXIT_INTERRUPTED)
