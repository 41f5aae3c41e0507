from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator_client.keepalives import KeepAliveSchedule
from coordinator_client.lifetime import Lifetime
from coordinator_client.pb import session_pb2

Result = session_pb2.SessionKeepAliveResponse.Result


def alive(*ids: int, ttl_ms: int = 9_000) -> list[Result]:
    return [Result(id=i, alive=True, ttl_ms=ttl_ms) for i in ids]


def test_sessions_soon_travel_together() -> None:
    schedule = KeepAliveSchedule()
    lives = {i: Lifetime(9, 0.3 * i) for i in range(5)}
    sent: list[tuple[float, list[int]]] = []
    for i, life in lives.items():
        now_s = 0.3 * i
        schedule.add(i, life, now_s)
        sent.append((now_s, schedule.due(now_s)))
        assert not schedule.answered(alive(i), now_s)
    assert [ids for _, ids in sent] == [[0], [1], [2], [3], [4]]
    now_s = 1.2
    sent.clear()
    while now_s < 20:
        wait_s = schedule.wait_s(now_s)
        assert wait_s is not None
        now_s += wait_s
        ids = schedule.due(now_s)
        sent.append((round(now_s, 3), ids))
        assert not schedule.answered(alive(*ids), now_s)
        assert all(life.remaining_s(now_s) > 5.9 for life in lives.values())
    everyone = [0, 1, 2, 3, 4]
    assert sent[0] == (3.0, everyone) and sent[1] == (6.0, everyone)
    assert all(ids == everyone for _, ids in sent)


def test_a_message_out_is_waited_for_as_long_as_its_most_urgent_session_allows() -> None:
    schedule = KeepAliveSchedule()
    schedule.add(1, Lifetime(60, 0), 0)
    assert schedule.due(0) == [1] and schedule.wait_s(0) == 2.0
    schedule.add(2, Lifetime(1, 0.5), 0.5)
    assert schedule.due(0.5) == [2]  # it does not wait for the other's answer
    assert not schedule.late(0.6) and schedule.wait_s(0.6) is not None
    assert schedule.late(0.701)
    schedule.failed(0.701)
    assert not schedule.late(5) and schedule.due(0.701) == []
    assert schedule.due(0.76) == [1, 2]


def test_a_stream_that_breaks_between_two_messages_is_replaced_at_once() -> None:
    schedule = KeepAliveSchedule()
    schedule.add(1, Lifetime(60, 0), 0)
    schedule.add(2, Lifetime(60, 0), 0)
    assert schedule.due(0) == [1, 2]
    schedule.answered(alive(1, 2, ttl_ms=60_000), 0)
    assert schedule.due(5) == []
    schedule.failed(5)
    assert schedule.wait_s(5) == 0 and schedule.due(5) == [1, 2]
    schedule.failed(5.1)  # nor is the next node there
    assert schedule.due(5.1) == [] and schedule.due(5.4) == [1, 2]


def test_answers_belong_to_the_oldest_message() -> None:
    schedule = KeepAliveSchedule()
    first, second = Lifetime(9, 0), Lifetime(9, 0)
    schedule.add(1, first, 0)
    schedule.due(0)
    schedule.add(2, second, 1)
    schedule.due(1)
    assert schedule.answered(alive(1), 1.2) == []
    assert (first.remaining_s(1.2), second.remaining_s(1.2)) == (7.8, 7.8)
    assert schedule.answered([Result(id=2)], 1.3) == [2]
    assert schedule.answered(alive(1, 2), 1.4) == []  # nothing was asked
    assert first.remaining_s(1.4) == 7.6


def test_a_session_without_an_answer_is_asked_for_again() -> None:
    schedule = KeepAliveSchedule()
    schedule.add(1, Lifetime(4, 0), 0)
    schedule.due(0)
    assert schedule.answered([], 0.1) == []
    assert schedule.due(0.2) == [] and schedule.due(0.31) == [1]
    schedule.remove(1)
    schedule.remove(1)
    assert schedule.answered(alive(1), 0.4) == [] and schedule.wait_s(0.5) is None


def test_those_that_nobody_confirmed_have_ended() -> None:
    schedule = KeepAliveSchedule()
    schedule.add(1, Lifetime(4, 0), 0)
    schedule.add(2, Lifetime(9, 0), 0)
    assert schedule.ended(3.9) == [] and schedule.ended(4) == [1] and schedule.ids() == [1, 2]


STEPS = st.lists(
    st.tuples(st.sampled_from(["answer", "lose", "wait"]), st.floats(0, 0.3)), max_size=40
)


@given(STEPS, st.lists(st.floats(1, 60), min_size=1, max_size=4))
def test_no_session_is_forgotten_or_asked_for_twice_at_once(
    steps: list[tuple[str, float]], ttls: list[float]
) -> None:
    """Whatever comes, each session is under way or has a time at which it is due, before its TTL is over."""
    schedule = KeepAliveSchedule()
    now_s = 100.0
    for i, ttl_s in enumerate(ttls):
        schedule.add(i, Lifetime(ttl_s, now_s), now_s)
    out: list[list[int]] = []
    for step, part in steps:
        if ids := schedule.due(now_s):
            assert not set(ids) & {i for asked in out for i in asked}
            out.append(ids)
        if step == "answer" and out:
            answers = [Result(id=i, alive=True, ttl_ms=round(1000 * ttls[i])) for i in out.pop(0)]
            schedule.answered(answers, now_s)
        elif step == "lose":
            schedule.failed(now_s)
            out.clear()
        wait_s = schedule.wait_s(now_s)
        assert wait_s is not None and wait_s <= max(ttls) + 0.001
        now_s += min(wait_s, part)
        if schedule.ended(now_s):
            return


def test_what_need_not_be_tied_to_a_stream_waits_for_its_turn() -> None:
    schedule = KeepAliveSchedule()
    assert schedule.add(1, Lifetime(9, 0), 0, tied=False)
    assert not schedule.add(2, Lifetime(9, 0.5), 0.5, tied=False)
    assert schedule.due(0.5) == [] and schedule.wait_s(0.5) == 2.5
    assert schedule.add(3, Lifetime(9, 1), 1)
    assert schedule.due(1) == [3]
    schedule.answered(alive(3), 1)
    assert schedule.due(3) == [1, 2, 3]
