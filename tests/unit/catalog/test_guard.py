"""When registrations are kept. A real state machine stands behind; time is a number."""

from __future__ import annotations

import itertools
import json

import pytest

from coordinator.catalog.guard import Guard, Rule, mark_value, read_rule
from coordinator.catalog.instances import parse_state
from coordinator.config import Limits, Timing
from coordinator.node.expiry import Inheritance
from coordinator.state.commands import (
    Command,
    DeleteRange,
    LeaderElected,
    Put,
    Range,
    Selector,
    SessionClose,
    SessionExpire,
    SessionOpen,
    Write,
    encode_bundle,
    encode_command,
    encode_proposal,
)
from coordinator.state.machine import StateMachine
from coordinator.state.model import Cause, KeyValue
from coordinator.state.results import RangeResult

DEFINITION = b'{"address":"10.0.0.1","port":80}'


class Cluster:
    """A leader with a state, a guard, and a clock that the test moves."""

    def __init__(self, share: int = 50, window_ms: int = 10_000) -> None:
        ids = itertools.count(1_000_000)
        self.state = StateMachine()
        limits = Limits(guard_share_percent=share)
        self.guard = Guard(limits, Timing(guard_window_ms=window_ms), lambda: next(ids))
        self.now = 100.0
        self.sessions = itertools.count(1)
        self.apply(LeaderElected(1, 1))

    def apply(self, *commands: Command) -> None:
        proposals = [encode_proposal(1, n, encode_command(c)) for n, c in enumerate(commands)]
        self.state.apply(encode_bundle(proposals))

    def register(self, *ids: str, service: str = "pay") -> list[int]:
        """Registers instances, each under a session of its own; returns the sessions."""
        sessions = []
        for id in ids:
            session = next(self.sessions)
            sessions.append(session)
            self.apply(SessionOpen(session, 1000))
            for kind, value in (("instances", DEFINITION), ("state", b'{"state":"passing"}')):
                key = f"/services/{service}/{kind}/{id}".encode()
                self.apply(Write(Put(key, value, session=session)))
        return sessions

    def settings(self, value: object, service: str = "pay") -> None:
        key = f"/services/{service}/settings".encode()
        self.apply(Write(Put(key, json.dumps(value).encode())))

    def expire(self, *sessions: int, cause: Cause = Cause.SESSION_EXPIRED) -> Inheritance:
        """What a leader does with sessions whose time is up."""
        inheritance = self.decide(*sessions, cause=cause)
        self.carry_out(inheritance, *sessions, cause=cause)
        return inheritance

    def decide(self, *sessions: int, cause: Cause = Cause.SESSION_EXPIRED) -> Inheritance:
        """Likewise, up to the command, which may take its time to be applied."""
        self.guard.judge(self.state, sessions, self.now)
        return self.guard.keep(self.state, sessions, cause)

    def carry_out(
        self, inheritance: Inheritance, *sessions: int, cause: Cause = Cause.SESSION_EXPIRED
    ) -> None:
        """The command is applied."""
        self.apply(SessionExpire(1, sessions, cause, inheritance.heirs, inheritance.kept))
        for session in sessions:
            self.guard.settled(self.state, session)

    def value(self, key: str) -> KeyValue | None:
        found = self.state.range(Range(Selector(f"/services/{key}".encode())))
        assert isinstance(found, RangeResult)
        return found.kvs[0] if found.kvs else None

    def there(self, service: str = "pay") -> set[str]:
        """The instances that are listed, those that are kept with a star."""
        found = set()
        for n in range(100):
            kv = self.value(f"{service}/instances/i{n}")
            if kv is not None:
                found.add(f"i{n}" + "*" * (kv.session >= 1_000_000))
        return found


def names(first: int, stop: int) -> list[str]:
    return [f"i{n}" for n in range(first, stop)]


def test_a_service_that_goes_at_once_is_kept_and_says_so() -> None:
    cluster = Cluster()
    sessions = cluster.register(*names(0, 6))
    inheritance = cluster.expire(*sessions[:4], cause=Cause.CONNECTION_LOST)
    assert cluster.there() == {"i0*", "i1*", "i2*", "i3*", "i4", "i5"}
    (heir,) = inheritance.heirs
    assert heir.ttl_ms == 10_000 and heir.metadata == (("coordinator.guard", "pay"),)
    for session in sessions[:4]:
        assert cluster.state.session(session) is None
    state = cluster.value("pay/state/i0")
    assert state is not None and state.session == heir.id
    told = json.loads(state.value)
    assert told["state"] == "critical" and told["guarded"] is True
    assert "connection was lost" in told["note"]


def test_a_share_that_is_not_beyond_the_limit_goes() -> None:
    cluster = Cluster()
    sessions = cluster.register(*names(0, 6))
    assert cluster.expire(*sessions[:3]) == Inheritance()
    assert cluster.there() == {"i3", "i4", "i5"}


def test_small_services_go() -> None:
    cluster = Cluster()
    assert cluster.expire(*cluster.register(*names(0, 3))) == Inheritance()
    assert cluster.there() == set()


def test_losses_add_up_within_the_window_and_not_beyond() -> None:
    cluster = Cluster(window_ms=10_000)
    sessions = cluster.register(*names(0, 8))
    cluster.expire(*sessions[:4])
    cluster.now += 9
    cluster.expire(sessions[4])
    assert cluster.there() == {"i4*", "i5", "i6", "i7"}
    other = Cluster(window_ms=10_000)
    sessions = other.register(*names(0, 8))
    other.expire(*sessions[:4])
    other.now += 11
    other.expire(sessions[4])
    assert other.there() == {"i5", "i6", "i7"}


def test_services_are_judged_apart() -> None:
    cluster = Cluster()
    mine = cluster.register(*names(0, 4))
    cluster.register(*names(0, 40), service="big")
    one_of_big = cluster.register("i90", service="big")
    cluster.expire(*mine, *one_of_big)
    assert cluster.there() == {"i0*", "i1*", "i2*", "i3*"}
    assert "i90" not in {name.strip("*") for name in cluster.there("big")}


def test_instances_that_were_replaced_are_no_loss() -> None:
    cluster = Cluster()
    sessions = cluster.register(*names(0, 4))
    for n in range(10):
        cluster.now += 0.5
        cluster.expire(sessions.pop(0))
        sessions += cluster.register(f"i{10 + n}")
    assert cluster.there() == {f"i{n}" for n in range(16, 20)}


def test_closing_counts_nothing() -> None:
    cluster = Cluster()
    sessions = cluster.register(*names(0, 10))
    cluster.apply(*(SessionClose(session) for session in sessions[:7]))
    cluster.expire(sessions[7])
    assert cluster.there() == {"i8", "i9"}
    # Had the guard seen all ten before, one that expired would still be one of ten.
    cluster = Cluster()
    sessions = cluster.register(*names(0, 10))
    cluster.expire(sessions[0])
    cluster.apply(*(SessionClose(session) for session in sessions[1:8]))
    cluster.expire(sessions[8])
    assert cluster.there() == {"i9"}


def test_what_was_lost_before_the_window_counts_nothing() -> None:
    cluster = Cluster(window_ms=10_000)
    cluster.expire(*cluster.register(*names(0, 10))[:5])
    sessions = cluster.register(*names(10, 15))
    cluster.now += 11
    cluster.expire(sessions[0])
    cluster.apply(*(SessionClose(session) for session in sessions[1:4]))
    cluster.apply(*(SessionClose(session) for session in range(6, 9)))
    assert cluster.there() == {"i8", "i9", "i14"}
    cluster.expire(sessions[4])
    assert cluster.there() == {"i8", "i9"}


def test_what_was_kept_goes_after_the_window_and_is_not_kept_again() -> None:
    cluster = Cluster()
    (heir,) = cluster.expire(*cluster.register(*names(0, 5))).heirs
    assert len(cluster.there()) == 5
    cluster.now += 10
    assert cluster.expire(heir.id) == Inheritance()
    assert cluster.there() == set() and cluster.value("pay/state/i0") is None


def test_who_registers_again_takes_its_keys_back() -> None:
    cluster = Cluster()
    (heir,) = cluster.expire(*cluster.register(*names(0, 5))).heirs
    cluster.register("i0", "i1")
    assert cluster.there() == {"i0", "i1", "i2*", "i3*", "i4*"}
    cluster.expire(heir.id)
    assert cluster.there() == {"i0", "i1"}


def test_other_keys_of_a_guarded_session_go() -> None:
    cluster = Cluster()
    sessions = cluster.register(*names(0, 5))
    cluster.apply(Write(Put(b"/services/pay/lock", b"", session=sessions[0])))
    cluster.expire(*sessions)
    assert len(cluster.there()) == 5 and cluster.value("pay/lock") is None


def test_locks_alone_are_no_registrations() -> None:
    cluster = Cluster()
    sessions = range(1, 9)
    for session in sessions:
        cluster.apply(SessionOpen(session, 1000))
        cluster.apply(Write(Put(b"/locks/%d" % session, b"", session=session)))
    assert cluster.expire(*sessions) == Inheritance()


@pytest.mark.parametrize("word", ["maintenance", "draining"])
def test_an_operators_word_stays(word: str) -> None:
    cluster = Cluster()
    sessions = cluster.register(*names(0, 5))
    cluster.apply(
        Write(
            Put(
                b"/services/pay/state/i0",
                json.dumps({"state": word, "note": "new disk"}).encode(),
                session=sessions[0],
            )
        )
    )
    cluster.expire(*sessions)
    state = cluster.value("pay/state/i0")
    assert state is not None
    assert json.loads(state.value) == {"state": word, "note": "new disk", "guarded": True}


def test_a_state_that_is_missing_is_written() -> None:
    cluster = Cluster()
    sessions = cluster.register(*names(0, 5))
    cluster.apply(Write(DeleteRange(Selector(b"/services/pay/state/i0"))))
    cluster.expire(*sessions)
    state = cluster.value("pay/state/i0")
    assert state is not None and parse_state(state.value).status == "critical"


def test_an_attempt_that_failed_is_made_again_and_counts_once() -> None:
    cluster = Cluster()
    sessions = cluster.register(*names(0, 8))
    for _ in range(5):  # nothing is applied
        cluster.guard.judge(cluster.state, sessions[:3], cluster.now)
        assert cluster.guard.keep(cluster.state, sessions[:3], Cause.SESSION_EXPIRED) == (
            Inheritance()
        )
        cluster.now += 0.05
    cluster.expire(*sessions[:3])
    assert cluster.there() == set(names(3, 8))


def test_ends_that_are_under_way_count_however_long_they_take() -> None:
    cluster = Cluster()
    sessions = cluster.register(*names(0, 10))
    first = cluster.decide(*sessions[:6])
    cluster.now += 3  # a slow disk: nothing is applied yet
    second = cluster.decide(*sessions[6:])
    cluster.carry_out(first, *sessions[:6])
    cluster.carry_out(second, *sessions[6:])
    assert cluster.there() == {f"{name}*" for name in names(0, 10)}
    # Below the share by themselves, and beyond it together.
    cluster = Cluster()
    sessions = cluster.register(*names(0, 10))
    assert cluster.decide(*sessions[:4]) == Inheritance()
    assert len(cluster.decide(*sessions[4:8]).kept) == 4


def test_an_end_of_unknown_outcome_keeps_what_was_decided_for_it() -> None:
    cluster = Cluster(window_ms=10_000)
    sessions = cluster.register(*names(0, 10))
    cluster.decide(*sessions[:6])
    cluster.now += 11  # by now the service is not guarded any more
    assert cluster.expire(sessions[6]) == Inheritance()
    again = cluster.guard.keep(cluster.state, sessions[:6], Cause.SESSION_EXPIRED)
    cluster.carry_out(again, *sessions[:6])
    assert cluster.there() == {*(f"{name}*" for name in names(0, 6)), *names(7, 10)}


def test_an_end_that_came_to_nothing_is_under_way_no_more() -> None:
    cluster = Cluster()
    sessions = cluster.register(*names(0, 10))
    cluster.decide(*sessions[:4])
    for session in sessions[:4]:
        cluster.guard.settled(cluster.state, session)  # spared, and heard of again
    assert cluster.decide(*sessions[4:8]) == Inheritance()


def test_a_service_may_have_a_rule_of_its_own() -> None:
    cluster = Cluster()
    sessions = cluster.register(*names(0, 5))
    cluster.settings({"guard": {"window_ms": 0}})
    assert cluster.expire(*sessions) == Inheritance()
    cluster = Cluster()
    sessions = cluster.register(*names(0, 5))
    cluster.settings({"guard": {"share_percent": 20, "window_ms": 2_000}})
    inheritance = cluster.expire(*sessions[:2])
    assert [heir.ttl_ms for heir in inheritance.heirs] == [2_000]
    assert cluster.there() == {"i0*", "i1*", "i2", "i3", "i4"}


def test_zero_turns_it_off() -> None:
    cluster = Cluster(window_ms=0)
    assert cluster.expire(*cluster.register(*names(0, 9))) == Inheritance()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"{",
        b'{"guard": 1}',
        b'{"guard": {"share_percent": 0}}',
        b'{"guard": {"window_ms": 3600001}}',
        b'{"guard": {"window_ms": "1"}}',
        b"[" * 100_000,
        b"\xff",
    ],
    ids=range(9),
)
def test_settings_that_make_no_sense_count_for_nothing(value: bytes) -> None:
    default = Rule(50, 1000, 4)
    assert read_rule(KeyValue(b"k", value, 1, 1, 1, 0), default) == default


def test_settings_for_others_are_passed_over() -> None:
    kv = KeyValue(b"k", b'{"proxies": [], "guard": {"window_ms": 7}}', 1, 1, 1, 0)
    assert read_rule(kv, Rule(50, 1000, 4)) == Rule(50, 7, 4)
    assert read_rule(None, Rule(50, 1000, 4)) == Rule(50, 1000, 4)


def test_what_is_remembered_is_forgotten() -> None:
    cluster = Cluster(window_ms=1_000)
    cluster.expire(*cluster.register(*names(0, 5)))
    cluster.now += 60
    cluster.expire(*cluster.register("i1", service="other"))
    assert list(cluster.guard._services) == ["other"]


def test_a_mark_says_why() -> None:
    told = json.loads(mark_value(None, Cause.SESSION_EXPIRED))
    assert "session expired" in told["note"]


def test_what_one_command_keeps_is_bounded() -> None:
    cluster = Cluster()
    cluster.apply(SessionOpen(1, 1000))
    count, note = 3_000, b'{"state":"draining","note":"%s"}' % (b"x" * 4_000)
    for first in range(0, count, 500):
        for n in range(first, first + 500):
            cluster.apply(
                Write(Put(b"/services/pay/instances/i%d" % n, DEFINITION, session=1)),
                Write(Put(b"/services/pay/state/i%d" % n, note, session=1)),
            )
    inheritance = cluster.expire(1)
    command = SessionExpire(1, (1,), Cause.NONE, inheritance.heirs, inheritance.kept)
    assert 900 < len(inheritance.kept) < 1_100
    assert 3.9 * (1 << 20) < len(encode_command(command)) < 4.1 * (1 << 20)
