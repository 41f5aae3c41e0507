from __future__ import annotations

import pytest

from coordinator_client import Compare, InvalidArgument, Key, Prefix, Span
from coordinator_client.compares import selector
from coordinator_client.pb import kv_pb2

Op = kv_pb2.Compare


class Seven:
    id = 7


@pytest.mark.parametrize(
    ("compare", "operator", "target", "operand"),
    [
        (Key("/a").version == 3, Op.EQUAL, "version", 3),
        (Key("/a").version != 3, Op.NOT_EQUAL, "version", 3),
        (Key("/a").create_revision < 3, Op.LESS, "create_revision", 3),
        (Key("/a").mod_revision <= 3, Op.LESS_OR_EQUAL, "mod_revision", 3),
        (Key("/a").mod_revision > 0, Op.GREATER, "mod_revision", 0),
        (Key("/a").version >= 3, Op.GREATER_OR_EQUAL, "version", 3),
        (Key("/a").session == Seven(), Op.EQUAL, "session", 7),
        (Key("/a").value == "grün", Op.EQUAL, "value", "grün".encode()),
        (Key("/a").value > b"\xff", Op.GREATER, "value", b"\xff"),
        (Key("/a").exists(), Op.EQUAL, "exists", True),
        (Key("/a").missing(), Op.EQUAL, "exists", False),
    ],
)
def test_a_compare_travels_as_it_reads(
    compare: Compare, operator: int, target: str, operand: object
) -> None:
    message = compare.message()
    assert message.operator == operator
    assert message.WhichOneof("target") == target
    assert getattr(message, target) == operand
    assert message.selector.key == b"/a"
    assert not message.selector.prefix


def test_prefix_and_span_select_many() -> None:
    assert Prefix("/x/").missing().message().selector == selector("/x/", prefix=True)
    assert Prefix("").exists().message().selector.prefix
    span = (Span("/a", b"/c").version == 0).message().selector
    assert (span.key, span.range_end) == (b"/a", b"/c")


def test_compares_show_what_they_say() -> None:
    assert repr(Key("/a").version == 3) == "Compare(/a version == 3)"
    assert repr(Prefix("/x/").missing()) == "Compare(/x/* exists == False)"
    assert repr(Span("a", "b")) == "Span([a, b))"


def test_a_compare_has_no_truth() -> None:
    with pytest.raises(TypeError, match="no truth value"):
        _ = Key("/a").version == 1 and Key("/b").version == 1


def test_compares_and_keys_are_values() -> None:
    first, second = Key("/a").version == 1, Key("/a").version == 1
    assert first.__eq__(second) is True
    assert len({Key("/a"), Key("/a"), Prefix("/a")}) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Key(""),
        lambda: Key("/a").version == "3",
        lambda: Key("/a").version == True,  # noqa: E712  # the mistake under test
        lambda: Key("/a").value == 3,
        lambda: Span("/a", ""),
        lambda: selector("/a", prefix=True, range_end="/b"),
        lambda: Key(3),  # type: ignore[arg-type]  # the mistake under test
        lambda: Key("/a\udcff"),
        lambda: Key("/a").value == "\udcff",
        lambda: Key("/a").version == 2**63,
        lambda: Key("/a").version > -(2**63) - 1,
    ],
)
def test_mistakes_are_refused_at_once(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(InvalidArgument):
        wrong()
