"""How the programs of the story say what they see: a line each, with the time at which it was so."""

from __future__ import annotations

import sys
import time


def say(text: str) -> None:
    """Reports to the director; all programs of a machine share the clock that is used."""
    sys.stdout.write(f"{time.monotonic():.6f} {text}\n")
    sys.stdout.flush()


def hear(line: str) -> tuple[float, str]:
    """Returns when something was so, in seconds, and what."""
    when, _, text = line.rstrip("\n").partition(" ")
    return float(when), text
