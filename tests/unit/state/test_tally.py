from __future__ import annotations

from itertools import combinations

from coordinator.state.model import Cause, Event, KeyValue
from coordinator.state.tally import (
    RECORD_OVERHEAD_BYTES,
    Tally,
    hash_of,
    hash_of_floor,
    hash_of_result,
    size_of_key,
    weigh,
)

OLD = KeyValue(b"a", b"1", 2, 2, 1, 0)
NEW = KeyValue(b"a", b"22", 2, 3, 2, 0)
PUT = Event(b"a", NEW, OLD)


def test_all_of_an_event_counts() -> None:
    hashes = [
        weigh(*arguments)[2]
        for arguments in (
            (3, 0, PUT),
            (4, 0, PUT),
            (3, 1, PUT),
            (3, 0, Event(b"a", NEW, None)),
            (3, 0, Event(b"a", OLD, NEW)),
            (3, 0, Event(b"b", NEW, OLD)),
            (3, 0, Event(b"a", None, OLD, Cause.DELETED)),
            (3, 0, Event(b"a", None, OLD, Cause.SESSION_EXPIRED)),
        )
    ]
    assert all(one != other for one, other in combinations(hashes, 2))


def test_events_replace_keys() -> None:
    for event, after, before in (
        (Event(b"a", OLD, None), OLD, None),
        (PUT, NEW, OLD),
        (Event(b"a", None, NEW), None, NEW),
    ):
        keys_hash, keys_size, _, history_size = weigh(3, 0, event)
        hashes = [hash_of(kv) if kv else 0 for kv in (after, before)]
        sizes = [size_of_key(kv) if kv else 0 for kv in (after, before)]
        assert keys_hash == hashes[0] - hashes[1]
        assert keys_size == sizes[0] - sizes[1]
        assert history_size == RECORD_OVERHEAD_BYTES + 1 + sizes[1]


def test_floor_counts() -> None:
    assert hash_of_floor(1, 0) == 0
    assert len({hash_of_floor(*place) for place in ((1, 1), (1, 2), (2, 1), (2, 2))}) == 4
    assert hash_of_floor(1, 2) + hash_of_floor(1, 3) == hash_of_floor(1, 5)


def test_all_of_a_result_counts() -> None:
    hashes = {
        hash_of_result(*place, result)
        for place in ((1, 2, 3), (2, 1, 3), (1, 3, 2))
        for result in (b"", b"\0")
    }
    assert len(hashes) == 6


def test_all_of_a_tally_counts() -> None:
    tally = Tally(1, 2, 3, 4, 5, 6)
    digests = {tally.digest(7, 8), tally.digest(8, 7), tally.digest(7)}
    digests |= {tally._replace(**{name: 9}).digest(7, 8) for name in Tally._fields}
    digests.add(tally._replace(keys=2, history=1).digest(7, 8))
    assert len(digests) == 10
    assert {len(digest) for digest in digests} == {32}
    # Differences of sums of large numbers are as good as the sums.
    assert tally._replace(keys=1 - (1 << 128)).digest(7, 8) == tally.digest(7, 8)


def test_size_of_key() -> None:
    assert size_of_key(NEW) == RECORD_OVERHEAD_BYTES + 3
