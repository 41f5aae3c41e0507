from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from coordinator.state.shelf import Held, Shelf

UnderWay = tuple[
    Held[int, str], Iterator[list[tuple[int, str]]], list[tuple[int, str]], dict[int, str]
]


def shelf_of(entries: dict[int, str]) -> Shelf[int, str]:
    shelf: Shelf[int, str] = Shelf()
    for key, value in entries.items():
        shelf.set(key, value)
    return shelf


def content(held: Held[int, str], limit: int = 2) -> dict[int, str]:
    entries = [entry for page in held.pages(limit) for entry in page]
    assert entries == sorted(entries)
    return dict(entries)


def test_sorted_map() -> None:
    shelf = shelf_of({3: "c", 1: "a", 2: "b"})
    shelf.set(2, "B")
    assert (len(shelf), 3 in shelf, 4 in shelf) == (3, True, False)
    assert (shelf.get(2), shelf.get(4)) == ("B", None)
    assert list(shelf.above(1)) == ["B", "c"]
    assert (shelf.keys_after(None, 2), shelf.keys_after(2, 2)) == ([1, 2], [3])
    assert shelf.remove(3) == "c"
    assert shelf.remove(3) is None
    assert list(shelf.above(0)) == ["a", "B"]


def test_a_hold_knows_the_moment() -> None:
    shelf = shelf_of({1: "a", 2: "b", 3: "c"})
    held = shelf.hold()
    shelf.set(1, "new")
    shelf.remove(1)
    shelf.remove(2)
    shelf.set(2, "new")
    shelf.set(4, "new")
    shelf.remove(4)
    shelf.set(5, "new")
    assert [held.get(key) for key in range(1, 6)] == ["a", "b", "c", None, None]
    assert content(held) == {1: "a", 2: "b", 3: "c"}
    shelf.release(held)
    assert content(shelf.hold()) == {2: "new", 3: "c", 5: "new"}
    assert shelf.holds_taken == 2


@given(
    st.dictionaries(st.integers(0, 9), st.sampled_from("xyz")),
    st.lists(st.tuples(st.integers(0, 9), st.none() | st.sampled_from("xyz")), max_size=60),
    st.integers(1, 4),
    st.sets(st.integers(0, 59)),
)
def test_pages_are_of_the_moment(
    entries: dict[int, str], changes: list[tuple[int, str | None]], limit: int, holds: set[int]
) -> None:
    shelf = shelf_of(entries)
    under_way: list[UnderWay] = []
    for index, (key, value) in enumerate(changes):
        if index in holds:
            held = shelf.hold()
            now = {k: v for k in range(10) if (v := shelf.get(k)) is not None}
            under_way.append((held, held.pages(limit), [], now))
        if value is None:
            shelf.remove(key)
        else:
            shelf.set(key, value)
        for _, pages, seen, _ in under_way[index % 2 :: 2]:
            seen += next(pages, [])
    for held, pages, seen, now in under_way:
        for page in pages:
            seen += page
            assert len(page) <= limit
        assert seen == sorted(now.items())
        assert content(held) == now
        shelf.release(held)
