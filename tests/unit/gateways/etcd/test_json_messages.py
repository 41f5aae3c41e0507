"""JSON objects that follow each other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.gateways.etcd.json_messages import Malformed, Objects, TooLarge

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(), VALUES), max_size=4),
    st.sampled_from(["", " ", "\n", "\r\n\t "]),
    st.integers(1, 9),
)
def test_objects_are_found_however_they_are_cut(
    objects: list[dict[str, Any]], between: str, size: int
) -> None:
    body = between.join(json.dumps(each, ensure_ascii=False) for each in objects).encode()
    found = Objects(1 << 20)
    read = [
        json.loads(text)
        for start in range(0, len(body), size)
        for text in found.feed(body[start : start + size])
    ]
    found.end()
    assert read == objects


@given(st.binary(max_size=60))
def test_whatever_comes_is_an_object_or_refused(body: bytes) -> None:
    found = Objects(1_000)
    try:
        for text in found.feed(body):
            assert text.startswith(b"{") and text.endswith(b"}")
        found.end()
    except Malformed:
        pass


def test_what_is_refused() -> None:
    with pytest.raises(Malformed):
        list(Objects(100).feed(b" nonsense"))
    with pytest.raises(TooLarge):
        list(Objects(100).feed(b'{"a": "' + b"x" * 100))
    half = Objects(100)
    assert list(half.feed(b'{"a": "}')) == []
    with pytest.raises(Malformed, match="ends within"):
        half.end()
