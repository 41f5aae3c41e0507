from __future__ import annotations

from typing import Any

import pytest
from pysyncobj.node import Node

from coordinator.consensus.codec import RequestVote, Vote
from coordinator.consensus.engine.stand_ins import Member, NoPoller, Outlet
from coordinator.errors import FatalError


class Hooks:
    """Keeps what is to be sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, object]] = []

    def send_when_durable(self, member: int, message: object) -> None:
        self.sent.append((member, message))

    def transfers(self, term: int) -> bool:
        return term == 7


def test_a_member_is_its_id() -> None:
    one, same, other = Member(2**40), Member(2**40), Member(3)
    assert isinstance(one, Node) and one.id == 2**40 and type(one.id) is int
    assert one == same and hash(one) == hash(2**40) and one != other
    assert list({other, one}) == list({Member(3), Member(2**40)}), (
        "in an order that is always the same"
    )


def test_votes_leave_as_our_messages_and_nothing_else_does() -> None:
    hooks: Any = Hooks()
    outlet = Outlet(hooks)
    for term in (6, 7):
        request = {"type": "request_vote", "term": term, "last_log_index": 4, "last_log_term": 3}
        assert outlet.send(Member(2), request)
    assert outlet.send(Member(3), {"type": "response_vote", "term": 6})
    assert hooks.sent == [
        (2, RequestVote(6, 4, 3, False)),
        (2, RequestVote(7, 4, 3, True)),
        (3, Vote(6)),
    ]
    with pytest.raises(FatalError, match="append_entries"):
        outlet.send(Member(2), {"type": "append_entries"})


def test_there_is_nothing_to_poll() -> None:
    assert NoPoller().poll(0.0) is None  # type: ignore[func-returns-value]  # that is the point
