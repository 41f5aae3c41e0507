"""Conditions of a transaction, written as they are read: `Key("/a").version == 3`.

>>> Key("/a").version == 3
Compare(/a version == 3)
>>> Prefix("/locks/").missing()
Compare(/locks/* exists == False)

A condition over a prefix or span must hold for every key there. Where no key matches, the numbers are taken as 0,
and a condition on the value does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

from coordinator_client import validation
from coordinator_client.errors import InvalidArgument
from coordinator_client.pb import common_pb2, kv_pb2

__all__ = ["Compare", "Key", "Prefix", "Span", "Target", "describe", "selector"]

_T = TypeVar("_T")

_OPERATORS = {
    "==": kv_pb2.Compare.EQUAL,
    "!=": kv_pb2.Compare.NOT_EQUAL,
    "<": kv_pb2.Compare.LESS,
    "<=": kv_pb2.Compare.LESS_OR_EQUAL,
    ">": kv_pb2.Compare.GREATER,
    ">=": kv_pb2.Compare.GREATER_OR_EQUAL,
}


def selector(
    key: str | bytes, *, prefix: bool = False, range_end: str | bytes | None = None
) -> common_pb2.Selector:
    """Returns the selector of one key, of a prefix, or of the half-open range [key, range_end)."""
    prefix = validation.flag(prefix, "prefix")
    start = validation.to_bytes(key, "key")
    end = None if range_end is None else validation.to_bytes(range_end, "range_end")
    if prefix and end is not None:
        raise InvalidArgument("give either prefix or range_end, not both")
    if end is not None and not end:
        raise InvalidArgument(r"range_end is empty; one zero byte (b'\0') means no upper end")
    if not prefix and end is None and not start:
        raise InvalidArgument("the key is empty; for all keys, give prefix=True")
    return common_pb2.Selector(key=start, prefix=prefix, range_end=end or b"")


def describe(selector: common_pb2.Selector) -> str:
    """Returns keys as people write them: /a, /a/* or [/a, /b)."""
    start = selector.key.decode(errors="backslashreplace")
    if selector.prefix:
        return f"{start}*"
    end = selector.range_end.decode(errors="backslashreplace")
    return f"[{start}, {end})" if end else start


@dataclass(frozen=True, repr=False)
class Compare:
    """One condition; give it to `Txn.when`. It has no truth of its own: the cluster decides."""

    selector: Key
    target: str
    operator: str
    operand: int | bytes | bool

    def message(self) -> kv_pb2.Compare:
        """Returns the condition as it travels."""
        request = kv_pb2.Compare(
            selector=self.selector.selector, operator=_OPERATORS[self.operator]
        )
        setattr(request, self.target, self.operand)
        return request

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a compare has no truth value here, the cluster decides it; "
            "give several of them to when(...), separated by commas"
        )

    def __repr__(self) -> str:
        return f"Compare({self.selector} {self.target} {self.operator} {self.operand!r})"


class Target(Generic[_T]):
    """A property of keys that can be compared; operators make a Compare of it."""

    __hash__ = None  # type: ignore[assignment]  # equality makes a Compare, so there is no hash

    def __init__(self, of: Key, name: str) -> None:
        self._of = of
        self._name = name

    def _compare(self, operator: str, operand: object) -> Compare:
        if self._name == "value":
            if not isinstance(operand, str | bytes):
                raise InvalidArgument(
                    f"a value is compared with str or bytes, not {validation.shown(operand)}"
                )
            encoded = validation.to_bytes(operand, "value")
            return Compare(self._of, self._name, operator, encoded)
        # Anything with an id, such as an open session, stands for its id.
        number = getattr(operand, "id", operand)
        if isinstance(number, bool) or not isinstance(number, int):
            raise InvalidArgument(
                f"{self._name} is compared with an int, not {validation.shown(operand)}"
            )
        number = validation.whole(number, self._name, at_least=-validation.INT64_MAX - 1)
        return Compare(self._of, self._name, operator, number)

    def __eq__(self, operand: object) -> Compare:  # type: ignore[override]  # the point of the class
        return self._compare("==", operand)

    def __ne__(self, operand: object) -> Compare:  # type: ignore[override]  # the point of the class
        return self._compare("!=", operand)

    def __lt__(self, operand: _T) -> Compare:
        return self._compare("<", operand)

    def __le__(self, operand: _T) -> Compare:
        return self._compare("<=", operand)

    def __gt__(self, operand: _T) -> Compare:
        return self._compare(">", operand)

    def __ge__(self, operand: _T) -> Compare:
        return self._compare(">=", operand)


class Key:
    """One key, as the subject of a condition."""

    def __init__(self, key: str | bytes) -> None:
        self.selector = selector(key)

    @property
    def value(self) -> Target[str | bytes]:
        """Its value; compared byte by byte."""
        return Target(self, "value")

    @property
    def version(self) -> Target[int]:
        """Writes since its creation; 0 if it does not exist."""
        return Target(self, "version")

    @property
    def create_revision(self) -> Target[int]:
        """Revision of its creation; 0 if it does not exist."""
        return Target(self, "create_revision")

    @property
    def mod_revision(self) -> Target[int]:
        """Revision of its last change; 0 if it does not exist."""
        return Target(self, "mod_revision")

    @property
    def session(self) -> Target[int]:
        """The session that owns it; 0 for none. May be compared with an open session."""
        return Target(self, "session")

    def exists(self) -> Compare:
        """The key exists; for a prefix or span: at least one key does."""
        return Compare(self, "exists", "==", True)

    def missing(self) -> Compare:
        """No such key exists."""
        return Compare(self, "exists", "==", False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.selector == other.selector

    def __hash__(self) -> int:
        return hash(self.selector.SerializeToString(deterministic=True))

    def __str__(self) -> str:
        return describe(self.selector)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


class Prefix(Key):
    """Every key that starts with `prefix`; an empty prefix means all keys."""

    def __init__(self, prefix: str | bytes) -> None:
        self.selector = selector(prefix, prefix=True)


class Span(Key):
    """Every key in the half-open range [start, end)."""

    def __init__(self, start: str | bytes, end: str | bytes) -> None:
        self.selector = selector(start, range_end=end)
