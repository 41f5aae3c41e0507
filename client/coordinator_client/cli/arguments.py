"""What the arguments of a command may be: bytes, text, whole numbers, pairs."""

from __future__ import annotations

import os
from typing import Any

import click

from coordinator_client.cli.output import visible

INT64_MAX = (1 << 63) - 1


def raw(value: str | bytes) -> bytes:
    """Returns a key or a value as the shell gave it, whether that is text or not."""
    return os.fsencode(value)


def text(value: str) -> str:
    """Returns text that can travel; bytes that are not UTF-8 can't."""
    if not is_utf8(value):
        raise click.BadParameter(f"{visible(value)} is not UTF-8")
    return value


def number(value: str | int) -> int:
    """Returns a revision, an id, or a limit: none is below zero, and all are 64 bits on their way."""
    try:
        found = int(value)
    except ValueError:
        found = -1
    if not 0 <= found <= INT64_MAX:
        raise click.BadParameter(
            f"{visible(str(value))} is not a whole number from 0 to {INT64_MAX}"
        )
    return found


def is_utf8(text: str) -> bool:
    """Whether text has a form in UTF-8; what the shell gave as other bytes has none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def pairs(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> Any:
    """Returns `NAME=VALUE` options as a dictionary."""
    found = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{pair!r} is not of the form NAME=VALUE")
        found[name] = value
    return found
