from __future__ import annotations

from coordinator.state.model import Batch, Cause, Event, KeyValue
from coordinator_client.pb import common_pb2


def test_causes_are_numbered_as_on_the_wire() -> None:
    wire = {name.removeprefix("CAUSE_"): number for name, number in common_pb2.Cause.items()}
    assert wire.pop("UNSPECIFIED") == Cause.NONE
    assert wire == {cause.name: cause.value for cause in Cause if cause is not Cause.NONE}


def test_values_are_compared_by_what_they_hold() -> None:
    one, other = (KeyValue(b"a", b"1", 2, 3, 2, 0) for _ in range(2))
    assert one == other
    assert Batch(3, (Event(b"a", one, None),)) == Batch(3, (Event(b"a", other, None),))
    assert one != KeyValue(b"a", b"1", 2, 3, 2, 1)
