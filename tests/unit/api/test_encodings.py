from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.api import render
from coordinator.api.encodings import ENTRY_OVERHEAD_BYTES, Encodings
from coordinator.state.model import KeyValue
from coordinator.state.results import RangeResult
from coordinator_client.pb import kv_pb2

numbers = st.integers(0, 2**63 - 1)
kvs = st.builds(KeyValue, st.binary(), st.binary(), numbers, numbers, numbers, numbers)


@given(
    st.lists(kvs, max_size=8),
    st.lists(st.lists(st.integers(0, 7), max_size=8), max_size=8),
    st.integers(0, 4_000),
)
def test_ranges_say_what_they_would_if_they_were_made_anew(
    known: list[KeyValue], ranges: list[list[int]], size_bytes_max: int
) -> None:
    encodings = Encodings(size_bytes_max)
    for places in ranges:
        chosen = tuple(known[place] for place in places if place < len(known))
        parsed = kv_pb2.RangeResponse.FromString(b"".join(encodings.of(chosen)))
        assert parsed == render.range_response(RangeResult(chosen))
        kept = [entry for half in (encodings._new, encodings._old) for entry in half.values()]
        assert sum(len(entry[1]) + ENTRY_OVERHEAD_BYTES for entry in kept) <= size_bytes_max


def test_a_version_is_encoded_once() -> None:
    encodings = Encodings(10_000)
    some = [KeyValue(b"/%d" % i, b"x", 1, 1, 1, 0) for i in range(3)]
    first, again = encodings.of(some), encodings.of(some)
    assert all(a is b for a, b in zip(first, again, strict=True))
    same = KeyValue(b"/0", b"x", 1, 1, 1, 0)
    assert encodings.of([same])[0] == first[0]


def test_a_place_in_memory_that_another_version_has_taken_is_not_mistaken() -> None:
    encodings = Encodings(10_000)
    one, other = KeyValue(b"/a", b"", 1, 1, 1, 0), KeyValue(b"/b", b"", 1, 1, 1, 0)
    encodings._new[id(other)] = (one, encodings.of([one])[0])
    parsed = kv_pb2.RangeResponse.FromString(encodings.of([other])[0])
    assert parsed.kvs[0].key == b"/b"
