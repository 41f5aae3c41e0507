"""What makes a check right or wrong is remembered, and little else."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.catalog.check_fields import FIELDS, remembered
from coordinator.catalog.instances import PASSING, parse_instance
from coordinator.checks.definitions import WrongCheck, parse_check
from coordinator.config import Limits
from coordinator.state.model import KeyValue

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 70_000),
    st.sampled_from(
        ["http", "tcp", "grpc", "ttl", "/", "GET", "a.example", "x" * 3_000, "200-299"]
    ),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.sampled_from(["a", "b" * 200, ""]), st.sampled_from(["v", 1, [], {}])),
    st.just({str(n): "" for n in range(40)}),
)


def judged(fields: dict[str, Any]) -> object:
    try:
        return parse_check(fields, "10.0.0.7", 80, Limits())
    except WrongCheck as error:
        return str(error).partition(" ")[0]


@given(st.dictionaries(st.sampled_from([*sorted(FIELDS), "other"]), VALUES))
def test_whoever_judges_comes_to_the_same(fields: dict[str, Any]) -> None:
    assert judged(remembered(fields)) == judged(fields)


@pytest.mark.parametrize(
    "value",
    [
        [[]] * 200_000,
        {str(n): {} for n in range(50_000)},
        {"a": [[]] * 200_000},
        {"x": {"y": [{}] * 200_000}},
    ],
    ids=range(4),
)
@pytest.mark.parametrize("field", ["headers", "other"])
def test_a_definition_takes_no_more_memory_than_its_key(field: str, value: object) -> None:
    fields = {"address": "a", "port": 1, "checks": {"c": {"kind": "http", field: value}}}
    kv = KeyValue(b"k", msgspec.json.encode(fields), 1, 1, 1, 0)
    tracemalloc.start()
    try:
        instance = parse_instance("pay", "i", kv, PASSING)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert instance is not None and taken < len(kv.value)
