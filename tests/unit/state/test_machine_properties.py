"""The machine against the oracle, over random commands."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coordinator.state import commands, sessions, transaction
from coordinator.state.commands import (
    Command,
    LeaderElected,
    Put,
    Range,
    Selector,
    Write,
    encode_bundle,
    encode_proposal,
)
from coordinator.state.machine import StateMachine
from coordinator.state.model import Batch
from coordinator.state.results import Applied, Code, Failure, Result
from coordinator.state.view import size_of
from tests.unit.state.oracle import Oracle
from tests.unit.state.workload import (
    PROLOGUE,
    Workload,
    bundle,
    command_lists,
    entries,
    examples,
    lengths,
    ranges,
    seeds,
)

# --- how to compare ---------------------------------------------------------------------------


def plain(result: Result) -> Result:
    """The result without words for people."""
    return Failure(result.code, "", result.value) if isinstance(result, Failure) else result


def apply_both(machine: StateMachine, oracle: Oracle, commands: list[Command]) -> None:
    oracle.opened, oracle.ended = [], []
    before = oracle.revision
    applied = machine.apply(bundle(commands))
    expected = [oracle.execute(command) for command in commands]
    assert [(o.revision, plain(o.result)) for o in applied.outcomes] == expected
    assert [(o.origin, o.number) for o in applied.outcomes] == [
        (7, n) for n in range(len(commands))
    ]
    assert applied.batches == [oracle.history[r] for r in range(before + 1, oracle.revision + 1)]
    assert (applied.opened, applied.ended) == (oracle.opened, oracle.ended)
    terms = [command.term for command in commands if isinstance(command, LeaderElected)]
    assert applied.elected == (terms[-1] if terms else None)


def assert_same(machine: StateMachine, oracle: Oracle) -> None:
    assert machine.revision == oracle.revision
    assert machine.compacted_revision == oracle.compacted
    assert (machine.leader_term, machine.cluster_id) == (oracle.term, oracle.cluster_id)
    assert machine.key_count == len(oracle.keys)
    assert machine.session_count == len(oracle.sessions)
    assert machine.sequence_parent_count == len(oracle.counters)
    assert machine.history_size == oracle.revision - max(oracle.compacted, 1)
    for revision in range(-1, oracle.revision + 3):
        everything = Range(Selector(b"", b""), revision)
        assert plain(machine.range(everything)) == oracle.range(everything)
        batches = machine.batches(revision, 2)
        if revision <= oracle.compacted:
            assert isinstance(batches, Failure)
            assert (batches.code, batches.value) == (Code.COMPACTED, oracle.compacted)
        else:
            start = max(revision, 2)
            expected = [oracle.history[r] for r in range(start, start + 2) if r in oracle.history]
            assert batches == expected
    assert list(machine.sessions()) == [oracle.sessions[id] for id in sorted(oracle.sessions)]
    for id in range(4):
        owned = tuple(sorted(k for k, kv in oracle.keys.items() if id and kv.session == id))
        assert machine.session(id) == oracle.sessions.get(id)
        assert machine.session_keys(id) == owned
        assert machine.session_key_count(id) == len(owned)


def restored(machine: StateMachine) -> StateMachine:
    other = StateMachine()
    other.apply(bundle([Write(Put(b"junk", b"to be replaced"))]))
    other.restore(StateMachine.prepare(machine.capture().encode()))
    return other


# --- the properties ---------------------------------------------------------------------------


@examples(120)
@given(
    st.lists(command_lists | st.integers(1, 4) | st.just("restart"), min_size=3, max_size=12),
    st.lists(ranges, max_size=6),
)
def test_machine_is_the_oracle(
    steps: list[list[Command] | int | str], queries: list[Range]
) -> None:
    machine, oracle = StateMachine(), Oracle()
    apply_both(machine, oracle, PROLOGUE)
    for step in steps:
        if isinstance(step, list):
            apply_both(machine, oracle, step)
        elif isinstance(step, int):
            machine.tidy(step)
        else:
            machine = restored(machine)
    for query in queries:
        assert plain(machine.range(query)) == oracle.range(query)
    assert_same(machine, oracle)


@examples(150)
@given(seeds, lengths)
def test_machine_stays_the_oracle(seed: int, length: int) -> None:
    workload = Workload(seed)
    machine, oracle = StateMachine(), Oracle()
    apply_both(machine, oracle, PROLOGUE)
    for _ in range(length):
        apply_both(machine, oracle, workload.commands(oracle.revision))
        for _ in range(3):
            query = workload.query(oracle.revision)
            assert plain(machine.range(query)) == oracle.range(query)
        if workload.chance() < 0.3:
            machine.tidy(workload.number(1, 6))
        if workload.chance() < 0.03:
            machine = restored(machine)
    assert_same(machine, oracle)
    while machine.tidy(1):
        assert machine.key_count == len(oracle.keys)
    assert_same(machine, oracle)


@examples(80)
@given(seeds, lengths, st.integers(0, 60))
def test_restart_and_tidiness_are_not_seen(seed: int, length: int, cut: int) -> None:
    check_restart_and_tidiness(seed, length, cut)


@examples(120)
@given(seeds, lengths, st.integers(0, 60), st.integers(1, 12), st.integers(5, 200))
def test_bounds_are_the_same_after_restarts_and_tidying(
    seed: int, length: int, cut: int, visited_keys_max: int, results_size_bytes_max: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transaction, "VISITED_KEYS_MAX", visited_keys_max)
        patch.setattr(sessions, "RESULTS_SIZE_BYTES_MAX", results_size_bytes_max)
        check_restart_and_tidiness(seed, length, cut)


def check_restart_and_tidiness(seed: int, length: int, cut: int) -> None:
    whole, parted = StateMachine(), StateMachine()
    for index, entry in enumerate(entries(seed, length)):
        if index == cut:
            before = parted.digest()
            parted = restored(parted)
            assert parted.digest() == before == whole.digest()
        assert_applied_equal(whole.apply(entry), parted.apply(entry))
        parted.tidy(1 + seed % 9)
        assert parted.digest() == whole.digest()
        assert parted.size_bytes == whole.size_bytes
        assert parted.history_size_bytes == whole.history_size_bytes
        assert parted.revision_to_compact(5, 3000) == whole.revision_to_compact(5, 3000)
    assert whole.digest() == parted.digest() == restored(parted).digest()
    while whole.tidy(1000):
        pass
    assert whole.digest() == parted.digest()
    assert list(whole.capture().encode()) == list(restored(parted).capture().encode())


@examples(120)
@given(seeds, lengths, seeds)
def test_digests_are_equal_where_states_are(seed: int, length: int, other_seed: int) -> None:
    """The canonical bytes say what is equal. Many states come about more than once, in one run and in several."""
    streams: dict[str, bytes] = {}
    digests: dict[bytes, str] = {}
    for each in (seed, seed, other_seed):
        machine = StateMachine()
        for index, entry in enumerate(entries(each, length)):
            machine.apply(entry)
            machine.tidy(index % 3)
            if index % 9 == 8:
                machine = restored(machine)
            stream, digest = b"".join(machine.capture().encode()), machine.digest()
            assert streams.setdefault(digest, stream) == stream
            assert digests.setdefault(stream, digest) == digest


def assert_applied_equal(one: Applied, other: Applied) -> None:
    assert msgspec.to_builtins(one) == msgspec.to_builtins(other)


@examples(120)
@given(seeds, st.integers(10, 40), ranges, st.integers(0, 300))
def test_pages_add_up(seed: int, length: int, query: Range, size_bytes_max: int) -> None:
    machine = StateMachine()
    for entry in entries(seed, length):
        machine.apply(entry)
    query = msgspec.structs.replace(query, count_only=False, limit=0)
    whole = machine.range(query)
    if isinstance(whole, Failure):
        return
    kvs: list[object] = []
    children: list[bytes] = []
    more = True
    while more:
        page = machine.range(query, size_bytes_max)
        assert not isinstance(page, Failure)
        kvs += page.kvs
        children += page.children
        more = page.more
        names = [kv.key for kv in page.kvs] + list(page.children)
        size = sum(map(size_of, page.kvs)) + sum(map(size_of, page.children))
        assert size <= size_bytes_max or len(names) == 1
        assert names or not more
        if more:
            # The empty key can't be named as a start; it is the first, and a page of its own goes on from "".
            if max(names) == b"":
                return
            query = msgspec.structs.replace(query, start_after=max(names))
    assert (tuple(kvs), tuple(children)) == (whole.kvs, whole.children)


@examples(300)
@given(
    st.binary(max_size=80),
    st.sampled_from(
        [b"", b"\x01", b"\x01\x91", b"\x01\x91\x93\x07\x01", b"\x01\x91\x93\x07\x01\x93\xa1w"]
    ),
)
@example(b"\x91" * 5000, b"\x01")
@example(b"\x91" * 5000 + b"\x93\x07\x01\x91", b"\x01\x91\x93\x07\x01\x93\xa1w")
def test_no_bytes_raise(junk: bytes, start: bytes) -> None:
    machine = StateMachine()
    machine.apply(start + junk)
    machine.digest()


@examples(150)
@given(command_lists, st.data())
def test_damaged_commands_raise_nothing(step: list[Command], data: st.DataObject) -> None:
    entry = bytearray(bundle(step))
    for _ in range(data.draw(st.integers(1, 3))):
        entry[data.draw(st.integers(0, len(entry) - 1))] = data.draw(st.integers(0, 255))
    one, other = StateMachine(), StateMachine()
    assert_applied_equal(one.apply(bytes(entry)), other.apply(bytes(entry)))
    assert one.digest() == other.digest() == restored(one).digest()


@examples(50)
@given(command_lists, st.binary(max_size=12), st.integers(0, 4))
def test_broken_proposal_touches_no_other(step: list[Command], junk: bytes, place: int) -> None:
    machine, expected = StateMachine(), StateMachine()
    whole = expected.apply(bundle(step))
    proposals = [bytes(raw) for raw in commands.decode_bundle(bundle(step))]
    broken = encode_proposal(9, 99, msgspec.msgpack.encode(["nothing", junk]))
    place = min(place, len(proposals))
    applied = machine.apply(encode_bundle([*proposals[:place], broken, *proposals[place:]]))
    outcome = applied.outcomes.pop(place)
    assert (outcome.origin, outcome.number) == (9, 99)
    assert isinstance(outcome.result, Failure) and outcome.result.code is Code.UNDECODABLE
    assert_applied_equal(applied, whole)
    assert machine.digest() == expected.digest()


@pytest.mark.parametrize("seed", range(5))
def test_history_is_what_was_applied(seed: int) -> None:
    machine = StateMachine()
    seen: list[Batch] = []
    for entry in entries(seed, 50):
        seen += machine.apply(entry).batches
    assert len(seen) > 20
    kept = [batch for batch in seen if batch.revision > machine.compacted_revision]
    assert machine.batches(machine.compacted_revision + 1, 1000) == kept
    assert restored(machine).batches(machine.compacted_revision + 1, 1000) == kept
