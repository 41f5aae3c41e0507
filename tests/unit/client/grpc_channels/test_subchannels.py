"""Which instance gets a call, as they come, connect, fail and go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator_client import ConsistentHash, Ejection, Instance, InstanceState
from coordinator_client.grpc_channels.subchannels import (
    Pick,
    Subchannel,
    SubchannelTable,
    target_of,
)
from tests.unit.client.grpc_channels.echoes import as_status, instance

State = grpc.ChannelConnectivity
A, B = instance("a", 1), instance("b", 2)


def table_of(*instances: Instance, state: State = State.READY, **options: Any) -> SubchannelTable:
    table = SubchannelTable("echo", **options)
    for subchannel in table.update(instances)[0]:
        table.note_state(subchannel, state)
    return table


def picked(table: SubchannelTable, count: int = 8) -> set[str]:
    picks = [table.pick() for _ in range(count)]
    return {pick.subchannel.instance.id for pick in picks if pick is not None}


def test_calls_go_to_all_that_are_connected() -> None:
    assert picked(table_of(A, B)) == {"a", "b"}


@pytest.mark.parametrize("state", [state for state in State if state is not State.READY])
def test_one_that_is_not_connected_gets_none(state: State) -> None:
    table = table_of(A, B)
    table.note_state(table.subchannels[0], state)
    assert picked(table) == {"b"}


def test_a_new_one_counts_once_it_is_connected() -> None:
    table = table_of(A)
    (new,), retired = table.update((A, B))
    assert not retired
    assert picked(table) == {"a"}
    table.note_state(new, State.READY)
    assert picked(table) == {"a", "b"}


def test_what_the_guard_keeps_is_connected_when_nothing_is_healthy() -> None:
    kept = replace(A, state=InstanceState("critical", guarded=True))
    table = table_of(kept, B)
    assert picked(table) == {"b"}
    (added,), (retired,) = table.update((kept, replace(B, state=InstanceState("draining"))))
    assert (added.instance.id, retired.instance.id) == ("a", "b")
    table.note_state(added, State.READY)
    assert picked(table) == {"a"}
    assert [s.instance.id for s in table.update((kept, B))[1]] == ["a"]


@pytest.mark.parametrize("status", ["critical", "draining", "maintenance", "starting"])
def test_one_that_is_not_healthy_is_retired(status: str) -> None:
    table = table_of(A, B)
    added, (retired,) = table.update((as_status(A, status), B))
    assert not added
    assert retired.instance.id == "a"
    assert retired.retired
    assert picked(table) == {"b"}


def test_one_that_changes_keeps_its_connection_unless_its_address_does() -> None:
    table = table_of(A)
    assert table.update((as_status(A, "warning"),)) == ([], [])
    assert table.subchannels[0].instance.state.status == "warning"
    (added,), (retired,) = table.update((instance("a", 3),))
    assert (added.target, retired.target) == ("127.0.0.1:3", "127.0.0.1:1")


def test_one_that_is_retired_is_closed_when_its_last_call_is_over() -> None:
    table = table_of(A)
    first, second = table.pick(), table.pick()
    assert first is not None and second is not None
    table.update(())
    assert not table.finish(first, True)
    assert not table.finish(first, True)  # only once
    assert table.finish(second, None)


def test_calls_tell_the_balancer() -> None:
    table = table_of(A, B, ejection=Ejection(failures=1, pause_s=60))
    pick = table.pick()
    assert pick is not None
    table.finish(pick, False)
    assert picked(table) == {"a", "b"} - {pick.subchannel.instance.id}


def test_a_key_decides_for_a_consistent_hash() -> None:
    table = table_of(A, B, policy=ConsistentHash())
    for key in ("x", b"y", "z"):
        first, second = table.pick(key), table.pick(key)
        assert first is not None and second is not None
        assert first.subchannel is second.subchannel


def test_a_pick_knows_whether_its_connection_was_lost() -> None:
    table = table_of(A)
    pick = table.pick()
    assert pick is not None
    assert not pick.lost
    table.note_state(pick.subchannel, State.IDLE)
    assert pick.lost
    table.note_state(pick.subchannel, State.READY)
    assert pick.lost, "it is another connection"


@pytest.mark.parametrize(
    ("states", "whole", "pending"),
    [
        ([], State.TRANSIENT_FAILURE, False),
        ([State.IDLE], State.CONNECTING, True),
        ([State.CONNECTING, State.TRANSIENT_FAILURE], State.CONNECTING, True),
        ([State.TRANSIENT_FAILURE, State.TRANSIENT_FAILURE], State.TRANSIENT_FAILURE, False),
        ([State.READY, State.TRANSIENT_FAILURE], State.READY, False),
    ],
)
def test_what_the_whole_is(states: list[State], whole: State, pending: bool) -> None:
    table = table_of(*(instance(str(number), number + 1) for number in range(len(states))))
    for subchannel, state in zip(table.subchannels, states, strict=True):
        table.note_state(subchannel, state)
    assert (table.state, table.pending) == (whole, pending)


def test_one_that_failed_has_failed_until_it_connects() -> None:
    table = table_of(A, state=State.TRANSIENT_FAILURE)
    table.note_state(table.subchannels[0], State.CONNECTING)
    assert not table.pending
    assert table.complaint == "no instance of echo can be reached at 127.0.0.1:1"
    table.note_state(table.subchannels[0], State.READY)
    table.note_state(table.subchannels[0], State.IDLE)
    assert table.pending


def test_nobody_there() -> None:
    table = table_of()
    assert table.pick() is None
    assert table.complaint == "no instance of echo may get calls"


def test_a_named_port() -> None:
    named = instance("a", 1, ports={"grpc": 9})
    table = table_of(named, B, port="grpc")
    assert [subchannel.target for subchannel in table.subchannels] == ["127.0.0.1:9"]
    six = Instance("echo", "six", "::1", 1, ports={"grpc": 91})
    assert target_of(six, "grpc") == "[::1]:91"
    assert target_of(six, None) == "[::1]:1"
    assert target_of(six, "http") is None


def test_a_named_port_that_is_not_tcp_gets_no_calls() -> None:
    ports = {"grpc": 9}
    udp = instance("a", 1, ports=ports, protocols={"grpc": "udp"})
    tcp = instance("b", 2, ports=ports, protocols={"grpc": "TCP"})
    assert target_of(udp, "grpc") is None
    assert target_of(udp, None) == "127.0.0.1:1"
    assert [each.target for each in table_of(tcp, port="grpc").subchannels] == ["127.0.0.1:9"]
    table = table_of(udp, port="grpc")
    assert not table.subchannels
    assert table.complaint == "no instance of echo with a TCP port grpc may get calls"


def test_tag_and_zone() -> None:
    near = instance("c", 3, tags=("new",), zone="z1")
    assert picked(table_of(A, near, tag="new")) == {"c"}
    assert picked(table_of(A, near, zone="z1")) == {"c"}


@given(
    st.lists(
        st.one_of(
            st.frozensets(st.integers(0, 4)),
            st.tuples(st.integers(0, 9), st.sampled_from(State)),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_whatever_happens_calls_go_to_what_is_connected_and_each_is_closed_once(
    steps: list[Iterable[int] | tuple[int, State] | bool],
) -> None:
    table = SubchannelTable("echo")
    picks: list[Pick] = []
    retired_now: set[Subchannel] = set()
    closable: set[Subchannel] = set()
    for step in steps:
        if isinstance(step, frozenset):
            _, retired = table.update(tuple(instance(str(i), i + 1) for i in sorted(step)))
            retired_now.update(retired)
            closable.update(each for each in retired if not each.outstanding)
        elif isinstance(step, tuple):
            number, state = step
            if table.subchannels:
                table.note_state(table.subchannels[number % len(table.subchannels)], state)
        elif step:
            pick = table.pick()
            ready = [each for each in table.subchannels if each.state is State.READY]
            assert (pick is None) == (not ready)
            if pick is not None:
                assert pick.subchannel in ready
                picks.append(pick)
        elif picks:
            pick = picks.pop(0)
            if table.finish(pick, True):
                assert pick.subchannel not in closable
                closable.add(pick.subchannel)
    for pick in picks:
        if table.finish(pick, None):
            closable.add(pick.subchannel)
    assert closable == retired_now
