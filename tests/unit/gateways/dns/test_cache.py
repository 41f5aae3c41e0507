"""Values are made once for a revision, and not too many are kept."""

from __future__ import annotations

from coordinator.gateways.dns.cache import Cache


def test_a_list_is_made_once_for_a_revision() -> None:
    cache: Cache[list[int]] = Cache(100)
    made: list[int] = []

    def make() -> list[int]:
        made.append(1)
        return [len(made)]

    assert cache.get("a", 1, make) == cache.get("a", 1, make) == [1]
    assert cache.get("b", 1, make) == [2]
    assert cache.get("a", 2, make) == [3]
    assert cache.get("a", 1, make) == [4], "whatever comes, it is never taken for another revision"
    assert cache.size == 2


def test_the_list_asked_for_longest_ago_goes() -> None:
    cache: Cache[list[int]] = Cache(10)
    for key in range(5):
        cache.get(key, 1, lambda: [0, 0])
    assert cache.size == 10
    cache.get(0, 1, lambda: [9])
    cache.get(5, 1, lambda: [])
    assert cache.size == 9
    assert cache.get(0, 1, lambda: [9]) == [0, 0]
    assert cache.get(1, 1, lambda: [9]) == [9], "1 had to go"
    assert cache.get(6, 1, lambda: [1] * 11) == [1] * 11
    assert cache.get(6, 1, lambda: [2]) == [2], "what is too large is not kept"
    assert cache.size <= 10
