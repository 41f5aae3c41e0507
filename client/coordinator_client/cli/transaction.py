"""Reads a transaction from JSON, as docs/cli.md describes it."""

from __future__ import annotations

import base64
import json
import operator
from collections.abc import Callable
from typing import Any

from coordinator_client import (
    Compare,
    Delete,
    Get,
    Key,
    Nested,
    Operation,
    Prefix,
    Put,
    Range,
    Span,
)
from coordinator_client.cli.arguments import INT64_MAX, is_utf8
from coordinator_client.errors import InvalidArgument

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NUMBERS = ("version", "create_revision", "mod_revision", "session")
DEPTH_MAX = 16
"""Of transactions within transactions; the server allows fewer."""


class TransactionError(ValueError):
    """The text does not describe a transaction; the message says where."""


def parse(text: bytes) -> Nested:
    """Returns the transaction that JSON describes; raises TransactionError."""
    try:
        document = json.loads(text)
    except UnicodeDecodeError as error:
        raise TransactionError(f"this is not UTF-8: byte {error.start + 1} is no text") from error
    except (ValueError, RecursionError) as error:
        raise TransactionError(f"this is not JSON: {error}") from error
    return _txn(document, "", 0)


def _txn(document: object, where: str, depth: int) -> Nested:
    if depth > DEPTH_MAX:
        raise TransactionError(f"{where} is nested too deeply")
    fields = _fields(document, where or "the transaction", {"compares", "success", "failure"})

    def items(name: str) -> list[tuple[Any, str]]:
        found = fields.get(name, [])
        if not isinstance(found, list):
            raise TransactionError(f"{where}{name} must be a list")
        return [(item, f"{where}{name}[{i}]") for i, item in enumerate(found)]

    return Nested(
        when=tuple(_compare(item, place) for item, place in items("compares")),
        then=tuple(_operation(item, place, depth) for item, place in items("success")),
        otherwise=tuple(_operation(item, place, depth) for item, place in items("failure")),
    )


def _compare(document: object, where: str) -> Compare:
    selector = {"key", "key_base64", "prefix", "range_end"}
    targets = {"value", "value_base64", "exists", *NUMBERS}
    fields = _fields(document, where, selector | targets)
    named = sorted(targets & fields.keys())
    if len(named) != 1:
        raise TransactionError(f"{where} must compare one of {', '.join(sorted(targets))}")
    subject = _subject(fields, where)
    (name,) = named
    wanted = fields[name]
    if name == "exists":
        if not isinstance(wanted, bool):
            raise TransactionError(f"{where}.exists must be true or false")
        return subject.exists() if wanted else subject.missing()
    sign = "=="
    if isinstance(wanted, dict):
        if len(wanted) != 1 or not OPERATORS.keys() >= wanted.keys():
            raise TransactionError(f"{where}.{name} must have one of {' '.join(OPERATORS)}")
        ((sign, wanted),) = wanted.items()
    target = name.removesuffix("_base64")
    read = _bytes if target == "value" else _number
    operand = read({name: wanted}, target, where)
    compare = OPERATORS[sign](getattr(subject, target), operand)
    assert isinstance(compare, Compare)
    return compare


def _subject(fields: dict[str, Any], where: str) -> Key:
    try:
        if "prefix" in fields:
            return Prefix(_text(fields, "prefix", where))
        key = _bytes(fields, "key", where)
        if "range_end" in fields:
            return Span(key, _text(fields, "range_end", where))
        return Key(key)
    except InvalidArgument as error:
        raise TransactionError(f"{where}: {error}") from error


def _operation(document: object, where: str, depth: int) -> Operation:
    if not isinstance(document, dict) or len(document) != 1:
        raise TransactionError(f"{where} must be one of put, get, range, delete, txn")
    ((name, content),) = document.items()
    where = f"{where}.{name}"
    if name == "txn":
        return _txn(content, f"{where}.", depth + 1)
    makers: dict[str, Callable[[object, str], Operation]] = {
        "put": _put,
        "get": _get,
        "range": _range,
        "delete": _delete,
    }
    if name not in makers:
        raise TransactionError(f"{where}: there is no such operation")
    return makers[name](content, where)


def _put(document: object, where: str) -> Put:
    known = {"key", "key_base64", "value", "value_base64", "session", "sequence", "prev"}
    fields = _fields(document, where, known)
    return Put(
        key=_bytes(fields, "key", where),
        value=_bytes(fields, "value", where, b""),
        session=_number(fields, "session", where) if "session" in fields else None,
        sequence=_boolean(fields, "sequence", where),
        prev=_boolean(fields, "prev", where),
    )


def _get(document: object, where: str) -> Get:
    return Get(_bytes(_fields(document, where, {"key", "key_base64"}), "key", where))


def _range(document: object, where: str) -> Range:
    known = {"key", "key_base64", "prefix", "range_end", "limit", "keys_only"}
    fields = _fields(document, where, known)
    return Range(
        *_selected(fields, where),
        limit=_number(fields, "limit", where) if "limit" in fields else 0,
        keys_only=_boolean(fields, "keys_only", where),
    )


def _delete(document: object, where: str) -> Delete:
    fields = _fields(document, where, {"key", "key_base64", "prefix", "range_end", "prev"})
    return Delete(*_selected(fields, where), prev=_boolean(fields, "prev", where))


def _selected(fields: dict[str, Any], where: str) -> tuple[bytes, bool, str | None]:
    if "prefix" in fields:
        return _text(fields, "prefix", where).encode(), True, None
    end = _text(fields, "range_end", where) if "range_end" in fields else None
    return _bytes(fields, "key", where), False, end


def _fields(document: object, where: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise TransactionError(f"{where} must be an object")
    if unknown := sorted(document.keys() - known):
        raise TransactionError(
            f"{where} has no field {unknown[0]}, only {', '.join(sorted(known))}"
        )
    return document


def _text(fields: dict[str, Any], name: str, where: str) -> str:
    if not isinstance(fields.get(name), str):
        raise TransactionError(f"{where}.{name} must be text")
    text: str = fields[name]
    if not is_utf8(text):
        raise TransactionError(f"{where}.{name} has half a character, a lone surrogate")
    return text


def _bytes(fields: dict[str, Any], name: str, where: str, default: bytes | None = None) -> bytes:
    encoded = f"{name}_base64"
    if encoded in fields:
        try:
            return base64.b64decode(_text(fields, encoded, where), validate=True)
        except ValueError as error:
            raise TransactionError(f"{where}.{encoded} is not base64: {error}") from error
    if name not in fields and default is not None:
        return default
    return _text(fields, name, where).encode()


def _number(fields: dict[str, Any], name: str, where: str) -> int:
    value = fields[name]
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TransactionError(f"{where}.{name} must be a whole number")
    if not -INT64_MAX - 1 <= value <= INT64_MAX:
        raise TransactionError(f"{where}.{name} is beyond 64 bits")
    return value


def _boolean(fields: dict[str, Any], name: str, where: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise TransactionError(f"{where}.{name} must be true or false")
    return value
