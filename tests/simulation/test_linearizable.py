"""What clients saw is taken down as operations of registers and counters, and judged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coordinator.state.model import KeyValue
from tests.simulation.history import Fate, History, ReadRecord, WriteRecord
from tests.simulation.linearizable import (
    check_linearizable,
    counter_operations,
    register_operations,
)


def put(value: bytes, begun: float, ended: float | None, key: bytes = b"r/1") -> WriteRecord:
    fate = Fate.UNKNOWN if ended is None else Fate.APPLIED
    return WriteRecord(key, value, begun, ended, fate)


def delete(before: bytes | None, begun: float, ended: float) -> WriteRecord:
    return replace(put(b"", begun, ended), value=None, before=before)


def swap(expected: bytes | None, value: bytes, begun: float, ended: float) -> WriteRecord:
    return replace(put(value, begun, ended), conditional=True, expected=expected)


def read(begun: float, ended: float, prefix: bytes = b"r/", **values: bytes) -> ReadRecord:
    kvs = tuple(
        KeyValue(prefix + name.strip("_").encode(), value, 9, 9, 1, 0)
        for name, value in values.items()
    )
    return ReadRecord(1, 1, False, 0, begun, ended, 9, prefix, kvs)


def complaints(*records: WriteRecord | ReadRecord) -> list[str]:
    history = History(
        [record for record in records if isinstance(record, WriteRecord)],
        [record for record in records if isinstance(record, ReadRecord)],
    )
    found, decided = check_linearizable(history)
    assert decided
    return found


@pytest.mark.parametrize(
    "records",
    [
        (put(b"a", 1, 2), read(3, 4, _1=b"a")),
        (put(b"a", 1, 2), put(b"b", 1.5, 5), read(3, 4, _1=b"a"), read(6, 7, _1=b"b")),
        (put(b"a", 1, 2), delete(b"a", 3, 4), read(5, 6), delete(None, 7, 8)),
        (put(b"a", 1, None), read(3, 4), read(5, 6, _1=b"a")),
        (put(b"a", 1, 2), swap(b"a", b"b", 3, 4), read(5, 6, _1=b"b")),
        (put(b"a", 1, 2), replace(swap(None, b"b", 3, 4), fate=Fate.UNMET, before=b"a")),
        (put(b"a", 1, 2), replace(put(b"b", 3, None), fate=Fate.REFUSED), read(5, 6, _1=b"a")),
        (put(b"a", 1, 2), replace(read(3, 4), local=True)),
        (put(b"x", 1, 2, b"r/2"), put(b"a", 1, 2), read(3, 4, _1=b"a", _2=b"x")),
    ],
)
def test_what_one_order_explains(records: tuple[WriteRecord | ReadRecord, ...]) -> None:
    assert not complaints(*records)


@pytest.mark.parametrize(
    "records",
    [
        (put(b"a", 1, 2), read(3, 4)),
        (put(b"a", 1, 2), put(b"b", 3, 4), read(5, 6, _1=b"a")),
        (put(b"a", 1, 2), put(b"b", 3, None), read(4, 5, _1=b"b"), read(6, 7, _1=b"a")),
        (put(b"a", 1, 2), delete(None, 3, 4)),
        (put(b"a", 1, 2), swap(None, b"b", 3, 4)),
        (put(b"a", 1, 2), replace(swap(b"a", b"b", 3, 4), fate=Fate.UNMET, before=b"c")),
        (put(b"a", 1, 2), replace(put(b"b", 3, None), fate=Fate.REFUSED), read(5, 6, _1=b"b")),
        (put(b"a", 1, 2), replace(read(3, 4), prefix=b"r/1")),
    ],
)
def test_what_no_order_explains(records: tuple[WriteRecord | ReadRecord, ...]) -> None:
    (found,) = complaints(*records)
    assert "r/1" in found


def append(number: int | None, begun: float, ended: float | None) -> WriteRecord:
    key = b"q/" if number is None else b"q/%010d" % number
    return replace(put(b"v%f" % begun, begun, ended, key), sequence=True)


def test_sequences_are_counters() -> None:
    seen = read(5, 6, b"q/", _0=b"a", _1=b"b")
    assert not complaints(append(0, 1, 2), append(1, 3, 4), seen)
    assert not complaints(append(0, 1, 2), append(None, 3, None), seen)
    assert complaints(append(1, 1, 2), append(0, 3, 4), seen)
    assert complaints(append(0, 1, 2), seen)
    assert complaints(append(0, 1, 2), append(0, 3, 4))


def test_each_history_has_its_own_part() -> None:
    history = History([put(b"a", 1, 2), append(0, 1, 2)], [read(3, 4, _1=b"a"), read(3, 4, b"q/")])
    assert len(register_operations(history)) == 2
    assert len(counter_operations(history)) == 2
