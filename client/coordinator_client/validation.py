"""What a program may say: each function returns an argument ready to be sent, or raises InvalidArgument.

The message is a sentence that begins with the name of the argument. Nothing has been sent when it is raised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from coordinator_client.errors import InvalidArgument

__all__ = ["flag", "name", "pairs", "text", "texts", "timeout", "to_bytes", "wait", "whole"]

INT64_MAX = 2**63 - 1
TIMEOUT_S_MAX = 1e8
"""About three years: more is a mistake of units, and further than some clocks and locks count."""
NAME_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:-]{0,127}")


def shown(value: object) -> str:
    """Returns a value as a message may carry it: in one short line."""
    try:
        line = repr(value)
    except ValueError:
        # Python refuses to write out integers of thousands of digits.
        line = f"a very large {type(value).__name__}"
    return line if len(line) <= 80 else f"{line[:77]}..."


def to_bytes(value: str | bytes, name: str) -> bytes:
    """Returns a key or value as bytes; text becomes UTF-8."""
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgument(
                f"{name} has a character that UTF-8 can't express, at {error.start}; "
                "give bytes instead"
            ) from None
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise InvalidArgument(f"{name} is str or bytes, not {type(value).__name__}")


def text(value: str, name: str) -> str:
    """Returns a text that UTF-8 can express."""
    if not isinstance(value, str):
        raise InvalidArgument(f"{name} is {shown(value)}, not text")
    to_bytes(value, name)
    return value


def json_object(value: bytes) -> dict[str, Any] | None:
    """Returns the JSON object in the value of a key; None if there is none."""
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def name(value: str, kind: str) -> str:
    """Returns a name that is a part of a key; `kind` says of what, for people."""
    if not isinstance(value, str) or not NAME_PATTERN.fullmatch(value):
        raise InvalidArgument(
            f"{kind} name {shown(value)} is not 1 to 128 letters, digits, '.', '_', ':' and '-', "
            "the first a letter, a digit or '_'"
        )
    return value


def texts(values: Iterable[str], name: str) -> tuple[str, ...]:
    """Returns several texts; one text alone is not taken for its characters."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidArgument(f"{name} is {shown(values)}, not a sequence of texts")
    return tuple(text(value, name) for value in values)


def pairs(values: Mapping[str, str] | None, name: str) -> dict[str, str]:
    """Returns pairs of texts; None stands for no pairs."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise InvalidArgument(f"{name} is {shown(values)}, not a mapping of text to text")
    return {text(key, name): text(value, name) for key, value in values.items()}


def whole(value: int, name: str, at_least: int = 0) -> int:
    """Returns a number between `at_least` and 2**63 - 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgument(f"{name} is {shown(value)}, not a whole number")
    if not at_least <= value <= INT64_MAX:
        raise InvalidArgument(f"{name} is {shown(value)}, not between {at_least} and 2**63 - 1")
    return value


def flag(value: bool, name: str) -> bool:
    """Returns True or False; 1 and 0 are taken for them."""
    if not isinstance(value, int) or value not in (0, 1):
        raise InvalidArgument(f"{name} is {shown(value)}, not True or False")
    return bool(value)


def timeout(value: float, name: str = "timeout_s") -> float:
    """Returns how long a call may take, in seconds: a finite number above 0."""
    if not wait(value, name) > 0:
        raise InvalidArgument(f"{name} is {shown(value)}, and a call needs more time than that")
    return value


def wait(value: float, name: str = "timeout_s") -> float:
    """Returns how long to wait for something, in seconds: a finite number, 0 to look only once."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgument(f"{name} is {shown(value)}, not a number of seconds")
    if not 0 <= value <= TIMEOUT_S_MAX:
        raise InvalidArgument(
            f"{name} is {shown(value)}, not between 0 and {TIMEOUT_S_MAX:.0f} seconds"
        )
    return value
