from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.node.selector_index import SelectorIndex, is_prefix
from coordinator.state.commands import Selector

KEYS = st.binary(max_size=3).map(lambda key: bytes(b"\x00ab\xff"[byte % 4] for byte in key))
SELECTORS = st.builds(Selector, KEYS, st.none() | KEYS) | KEYS.map(
    lambda key: Selector(key, prefix_end(key))
)


def prefix_end(prefix: bytes) -> bytes:
    """The least key behind all that begin so, found by trying; empty: there is none."""
    while prefix:
        if prefix[-1] < 0xFF:
            return prefix[:-1] + bytes([prefix[-1] + 1])
        prefix = prefix[:-1]
    return b""


def has(selector: Selector, key: bytes) -> bool:
    if selector.end is None:
        return key == selector.key
    return key >= selector.key and (not selector.end or key < selector.end)


@given(st.lists(st.tuples(SELECTORS, st.booleans()), max_size=20), st.lists(KEYS, max_size=20))
def test_all_are_found_that_a_look_at_each_finds(
    steps: list[tuple[Selector, bool]], keys: list[bytes]
) -> None:
    index = SelectorIndex[int]()
    held: dict[int, Selector] = {}
    for number, (selector, stays) in enumerate(steps):
        index.add(selector, number)
        held[number] = selector
        if not stays:
            oldest = min(held)
            index.remove(held.pop(oldest), oldest)
    for key in [*keys, b"", b"a"]:
        found = index.find(key)
        assert sorted(found) == [n for n, selector in held.items() if has(selector, key)]
        assert index.find(key) == found
    for number, selector in held.items():
        index.remove(selector, number)
    assert not any(index.find(key) for key in keys)


@given(KEYS, KEYS)
def test_prefixes_are_told_from_other_ranges(key: bytes, other: bytes) -> None:
    assert is_prefix(Selector(key, prefix_end(key))) == (key != b"")
    if is_prefix(Selector(key, other)):
        assert other == prefix_end(key)
    assert not is_prefix(Selector(key))


class Counted(bytes):
    """Counts how often it is compared by order."""

    compared = 0

    def __lt__(self, other: bytes) -> bool:
        Counted.compared += 1
        return bytes.__lt__(self, other)

    def __gt__(self, other: bytes) -> bool:
        Counted.compared += 1
        return bytes.__gt__(self, other)


def test_a_look_up_does_not_grow_with_the_number_of_selectors() -> None:
    index = SelectorIndex[int]()
    for number in range(3_000):
        name = b"/%05d" % number
        index.add(Selector(name), number)
        index.add(Selector(name, prefix_end(name)), 10_000 + number)
        index.add(Selector(name, name + b"~~"), 20_000 + number)
    assert sorted(index.find(Counted(b"/01500/x"))) == [11_500, 21_500]
    assert 0 < Counted.compared < 100
