"""What checks came to is written if slot and definition are still what they were, and else not at all."""

from __future__ import annotations

import pytest

from coordinator.catalog.index import Index
from coordinator.catalog.instances import Instance, InstanceState
from coordinator.checks.outcomes import removal_of, result_of
from coordinator.checks.slots import slot_key
from coordinator.state.commands import DeleteRange, Put, Range, Selector, SessionOpen, Txn, Write
from coordinator.state.machine import StateMachine
from coordinator.state.model import Cause, Event
from coordinator.state.results import RangeResult, TxnResult
from tests.unit.state.workload import bundle

DEFINITION = b"/services/pay/instances/i"
STATE = b"/services/pay/state/i"
RESULT = b"/services/pay/checks/i/web"
OTHER = b"/services/pay/checks/i0/web"
SLOT, SESSION, NODE = 3, 7, 8


class Store:
    """A state with an instance, and a slot that a node holds."""

    def __init__(self) -> None:
        self.state = StateMachine()
        self.events: list[Event] = []
        self.apply(SessionOpen(SESSION, 1000), SessionOpen(NODE, 1000))
        definition = b'{"address": "a", "port": 1, "checks": {"web": {"kind": "tcp"}}}'
        self.put(DEFINITION, definition, SESSION)
        self.put(STATE, b"", SESSION)
        self.put(OTHER, b"", SESSION)
        self.put(slot_key(SLOT), b"n1", NODE)

    def apply(self, *commands: SessionOpen | Write) -> object:
        applied = self.state.apply(bundle(commands))
        self.events += [event for batch in applied.batches for event in batch.events]
        return applied.outcomes[-1].result

    def put(self, key: bytes, value: bytes = b"", session: int = 0) -> None:
        self.apply(Write(Put(key, value, session)))

    def revision_of(self, key: bytes) -> int:
        found = self.state.range(Range(Selector(key)))
        assert isinstance(found, RangeResult)
        return found.kvs[0].mod_revision if found.kvs else 0

    def instance(self) -> Instance:
        index = Index()
        found = self.state.range(Range(Selector(DEFINITION)))
        assert isinstance(found, RangeResult)
        index.put(found.kvs[0], 1)
        instance = index.instance("pay", "i")
        assert instance is not None
        return instance

    def write(self, txn: Txn) -> bool:
        result = self.apply(Write(txn))
        assert isinstance(result, TxnResult)
        return result.succeeded


def result(store: Store, slot_revision: int, instance: Instance) -> Txn:
    return result_of(instance, SLOT, slot_revision, "web", InstanceState("critical", "no"))


def removal(store: Store, slot_revision: int, instance: Instance) -> Txn:
    judged, state = store.revision_of(RESULT), store.revision_of(STATE)
    return removal_of(instance, SLOT, slot_revision, "web", judged, state)


def test_a_result_belongs_to_the_session_of_the_instance() -> None:
    store = Store()
    assert store.write(result(store, store.revision_of(slot_key(SLOT)), store.instance()))
    kv = store.events[-1].kv
    assert kv is not None
    assert (kv.key, kv.session, kv.value) == (RESULT, SESSION, b'{"state":"critical","note":"no"}')


def test_a_removal_takes_all_keys_and_says_why() -> None:
    store = Store()
    store.put(RESULT, b"", SESSION)
    assert store.write(removal(store, store.revision_of(slot_key(SLOT)), store.instance()))
    gone = {event.key: event.cause for event in store.events if event.kv is None}
    assert gone == dict.fromkeys((DEFINITION, STATE, RESULT), Cause.CHECK_FAILED)
    assert store.revision_of(OTHER)


@pytest.mark.parametrize("make", [result, removal])
@pytest.mark.parametrize(
    "change",
    [
        Put(slot_key(SLOT), b"n2"),
        DeleteRange(Selector(slot_key(SLOT))),
        Put(DEFINITION, b"{}"),
        DeleteRange(Selector(DEFINITION)),
    ],
    ids=["slot taken", "slot free", "defined anew", "gone"],
)
def test_nothing_is_written_once_something_else_is_true(
    make: object, change: Put | DeleteRange
) -> None:
    assert callable(make)
    store = Store()
    txn = make(store, store.revision_of(slot_key(SLOT)), store.instance())
    store.apply(Write(change))
    before = len(store.events)
    assert not store.write(txn) and len(store.events) == before


def test_a_removal_is_void_once_the_check_has_another_result() -> None:
    store = Store()
    txn = removal(store, store.revision_of(slot_key(SLOT)), store.instance())
    store.put(RESULT, b'{"state":"passing"}', SESSION)
    assert not store.write(txn)


def test_a_removal_is_void_once_somebody_has_set_another_state() -> None:
    store = Store()
    txn = removal(store, store.revision_of(slot_key(SLOT)), store.instance())
    store.put(STATE, b'{"state":"maintenance"}', SESSION)
    assert not store.write(txn)
    assert store.revision_of(DEFINITION)
