"""Every state has a word, and every word a state."""

from __future__ import annotations

from coordinator.api.registry_states import STATES, STATUSES
from coordinator.catalog.instances import STATUSES as WORDS
from coordinator_client.pb import registry_pb2 as pb


def test_every_state_has_a_word() -> None:
    assert set(STATUSES.values()) == WORDS
    assert len(pb.State.items()) == len(WORDS) + 1
    assert {STATES[word]: word for word in WORDS} == dict(STATUSES)
