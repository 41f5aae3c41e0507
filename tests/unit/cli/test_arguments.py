from __future__ import annotations

import os

import click
import pytest

from coordinator_client.cli import arguments


@pytest.mark.parametrize("given", [b"/a", "ä".encode(), b"/k\xff", b""])
def test_raw_returns_what_the_shell_gave(given: bytes) -> None:
    assert arguments.raw(os.fsdecode(given)) == given
    assert arguments.raw(given) == given


def test_text_is_utf_8() -> None:
    assert arguments.text("ä") == "ä"
    with pytest.raises(click.BadParameter, match=r"a\\xff is not UTF-8"):
        arguments.text(os.fsdecode(b"a\xff"))


def test_numbers() -> None:
    assert arguments.number("0") == 0
    assert arguments.number(str(arguments.INT64_MAX)) == arguments.INT64_MAX
    for wrong in ("-1", str(arguments.INT64_MAX + 1), "1.5", ""):
        with pytest.raises(click.BadParameter, match="is not a whole number"):
            arguments.number(wrong)


def test_pairs() -> None:
    context = click.Context(click.Command("x"))
    parameter = click.Option(["--metadata"])
    assert arguments.pairs(context, parameter, ("a=1", "b=x=y", "c=")) == {
        "a": "1",
        "b": "x=y",
        "c": "",
    }
    for wrong in ("a", "=1"):
        with pytest.raises(click.BadParameter, match="NAME=VALUE"):
            arguments.pairs(context, parameter, (wrong,))
