from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.consensus.configuration import (
    MEMBERS_MAX,
    REMOVED_MAX,
    Configuration,
    configuration_of,
    decode_configuration,
    encode_configuration,
    moved,
    promoted,
    with_learner,
    without,
)
from coordinator.consensus.interface import Peer
from coordinator.errors import RequestError, Status
from tests.unit.consensus.stage import make_peers

THREE = configuration_of(make_peers(3))
FOURTH = Peer(4, "n4", "127.0.0.1:4")


def test_a_learner_joins_is_promoted_moves_and_leaves() -> None:
    four = with_learner(THREE, FOURTH)
    assert four.voters == {1, 2, 3}
    assert [peer.voter for peer in four.peers] == [True, True, True, False]
    voting = promoted(four, 4)
    assert voting.voters == {1, 2, 3, 4}
    elsewhere = moved(voting, 4, "127.0.0.1:44")
    assert elsewhere.peers[3] == Peer(4, "n4", "127.0.0.1:44")
    left = without(elsewhere, 1)
    assert left.voters == {2, 3, 4}
    assert left.removed == (1,)


def test_members_stand_in_the_order_of_their_names() -> None:
    assert configuration_of(make_peers(3)[::-1]) == THREE


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda: with_learner(THREE, Peer(1, "n9", "127.0.0.1:9")), Status.ALREADY_EXISTS),
        (lambda: with_learner(THREE, Peer(9, "n1", "127.0.0.1:9")), Status.ALREADY_EXISTS),
        (lambda: with_learner(THREE, Peer(9, "n9", "127.0.0.1:1")), Status.ALREADY_EXISTS),
        (lambda: with_learner(without(THREE, 3), make_peers(3)[2]), Status.ALREADY_EXISTS),
        (lambda: promoted(THREE, 1), Status.FAILED_PRECONDITION),
        (lambda: promoted(THREE, 9), Status.NOT_FOUND),
        (lambda: without(THREE, 9), Status.NOT_FOUND),
        (lambda: without(configuration_of(make_peers(1)), 1), Status.FAILED_PRECONDITION),
        (lambda: moved(THREE, 9, "127.0.0.1:9"), Status.NOT_FOUND),
        (lambda: moved(THREE, 1, "127.0.0.1:2"), Status.ALREADY_EXISTS),
    ],
)
def test_what_can_not_be_is_refused(change: Callable[[], Configuration], status: Status) -> None:
    with pytest.raises(RequestError) as caught:
        change()
    assert caught.value.status is status


def test_the_number_of_members_is_bounded_and_so_is_the_memory_of_those_removed() -> None:
    full = configuration_of(make_peers(MEMBERS_MAX))
    with pytest.raises(RequestError, match=f"{MEMBERS_MAX} members are the most"):
        with_learner(full, Peer(999, "n999", "127.0.0.1:999"))
    configuration = THREE
    for number in range(100, 100 + REMOVED_MAX + 5):
        peer = Peer(number, f"n{number}", f"127.0.0.1:{number}")
        configuration = without(with_learner(configuration, peer), number)
    assert configuration.removed == tuple(range(105, 105 + REMOVED_MAX))


def test_it_travels_as_bytes() -> None:
    four = without(with_learner(THREE, FOURTH), 2)
    assert decode_configuration(encode_configuration(four)) == four


@given(st.binary(max_size=200))
def test_bytes_that_hold_none_are_refused(content: bytes) -> None:
    try:
        found = decode_configuration(content)
    except (ValueError, RecursionError):
        return
    assert found.voters


def test_without_a_voter_it_is_none() -> None:
    with pytest.raises(ValueError, match="no voter"):
        configuration_of((Peer(1, "n1", "a:1", voter=False),))
    with pytest.raises(ValueError, match="no voter"):
        decode_configuration(msgspec.msgpack.encode(([(1, "n1", "a:1", False)], [])))


@pytest.mark.parametrize("id", [0, -1, 1 << 63])
def test_an_id_that_can_not_be_written_down_is_none(id: int) -> None:
    with pytest.raises(ValueError):
        decode_configuration(msgspec.msgpack.encode(([(id, "n1", "a:1", True)], [])))
