from __future__ import annotations

import asyncio
import collections
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from coordinator_client import (
    Balancer,
    ConsistentHash,
    Ejection,
    Instance,
    InstanceState,
    InvalidArgument,
    LeastOutstanding,
    NoInstance,
    Policy,
    PowerOfTwo,
    RoundRobin,
    Weighted,
    ZoneFirst,
)


def make(number: int, status: str = "passing", **fields: object) -> Instance:
    return Instance(
        "pay",
        f"i-{number}",
        "10.0.0.1",
        80,
        state=InstanceState(status),
        create_revision=number,
        **fields,  # type: ignore[arg-type]  # by name
    )


class World:
    """Instances that come and go, and a clock that a test moves."""

    def __init__(self, *instances: Instance) -> None:
        self.instances: Sequence[Instance] = instances
        self.now = 0.0

    def balancer(self, policy: Policy | None = None, **settings: object) -> Balancer:
        return Balancer(
            lambda: self.instances,
            policy,
            clock=lambda: self.now,
            **settings,  # type: ignore[arg-type]  # by name
        )


def make_kept(number: int, **fields: object) -> Instance:
    kept = make(number, "critical", **fields)
    return replace(kept, state=replace(kept.state, guarded=True))


def spread(balancer: Balancer, count: int, key: bytes = b"") -> dict[str, int]:
    found: collections.Counter[str] = collections.Counter()
    for _ in range(count):
        with balancer.pick(key) as call:
            found[call.instance.id] += 1
    return dict(found)


def fail(balancer: Balancer, id: str, times: int) -> None:
    """Calls until an instance has failed so often; the others do well."""
    while times:
        call = balancer.pick()
        call.done(call.instance.id != id)
        times -= call.instance.id == id


THREE = (make(1), make(2), make(3))


@pytest.mark.parametrize("policy", [RoundRobin(), Weighted(), ZoneFirst("none")])
def test_calls_are_spread_evenly(policy: Policy) -> None:
    assert spread(World(*THREE).balancer(policy), 30) == {"i-1": 10, "i-2": 10, "i-3": 10}


@pytest.mark.parametrize("policy", [LeastOutstanding(), PowerOfTwo()])
def test_calls_are_spread_by_chance_where_all_are_idle(policy: Policy) -> None:
    found = spread(World(*THREE).balancer(policy), 600)
    assert set(found) == {"i-1", "i-2", "i-3"}
    assert min(found.values()) > 100


def test_weights_are_kept_exactly_and_mixed() -> None:
    balancer = World(make(1, weight=5), make(2, weight=1), make(3, weight=0)).balancer(Weighted())
    order = [balancer.pick().instance.id for _ in range(12)]
    assert collections.Counter(order) == {"i-1": 10, "i-2": 2}
    assert order[:6] != sorted(order[:6])
    only_zero = World(make(1, weight=0), make(2, weight=0)).balancer(Weighted())
    assert spread(only_zero, 10) == {"i-1": 5, "i-2": 5}


def test_the_least_busy_gets_the_next_call() -> None:
    balancer = World(*THREE).balancer(LeastOutstanding())
    calls = [balancer.pick() for _ in range(9)]
    assert collections.Counter(call.instance.id for call in calls) == {"i-1": 3, "i-2": 3, "i-3": 3}
    freed = calls[4]
    freed.done()
    assert balancer.pick().instance == freed.instance


def test_the_less_busy_of_two() -> None:
    balancer = World(make(1), make(2)).balancer(PowerOfTwo())
    calls = [balancer.pick() for _ in range(10)]
    assert collections.Counter(call.instance.id for call in calls) == {"i-1": 5, "i-2": 5}


def test_a_key_stays_where_it_is_and_few_move() -> None:
    world = World(*(make(number) for number in range(1, 11)))
    balancer = world.balancer(ConsistentHash())
    keys = [f"user-{number}" for number in range(2_000)]
    before = {key: balancer.pick(key).instance.id for key in keys}
    assert before == {key: balancer.pick(key).instance.id for key in keys}
    shares = collections.Counter(before.values())
    assert len(shares) == 10
    assert max(shares.values()) < 3 * 200
    world.instances = world.instances[1:]
    after = {key: balancer.pick(key).instance.id for key in keys}
    moved = [key for key in keys if before[key] != after[key]]
    assert moved == [key for key in keys if before[key] == "i-1"]
    again = World(*reversed(world.instances)).balancer(ConsistentHash())
    assert after == {key: again.pick(key).instance.id for key in keys}


def test_weights_on_the_ring() -> None:
    heavy = World(make(1, weight=300), make(2, weight=100)).balancer(ConsistentHash())
    found = collections.Counter(heavy.pick(f"{n}").instance.id for n in range(2_000))
    assert 2 < found["i-1"] / found["i-2"] < 4.5


@pytest.mark.parametrize(
    "policy", [Weighted(), LeastOutstanding(), PowerOfTwo(), ConsistentHash()], ids=type
)
def test_weight_0_gets_a_call_only_if_there_is_no_other(policy: Policy) -> None:
    world = World(make(1, weight=0), make(2, weight=0), make(3, weight=1))
    balancer = world.balancer(policy)
    assert {balancer.pick(f"{n}").instance.id for n in range(300)} == {"i-3"}
    world.instances = world.instances[:2]
    assert {balancer.pick(f"{n}").instance.id for n in range(300)} == {"i-1", "i-2"}


@pytest.mark.parametrize("before", [(2, 3, 4), (0, 0, 0), (9, 1, 1)], ids=str)
@pytest.mark.parametrize("calls", range(5))
def test_weight_0_gets_no_call_for_what_was_before(before: tuple[int, ...], calls: int) -> None:
    world = World(*(make(number, weight=weight) for number, weight in enumerate(before, 1)))
    balancer = world.balancer(Weighted())
    spread(balancer, calls)
    world.instances = (make(1, weight=0), make(2, weight=1))
    assert spread(balancer, 20) == {"i-2": 20}


def test_nobody_pays_for_long_for_a_weight_that_was() -> None:
    world = World(make(1, weight=60_000), make(2, weight=1))
    balancer = world.balancer(Weighted())
    spread(balancer, 20_000)
    world.instances = (make(1, weight=1), make(2, weight=1))
    found = spread(balancer, 20)
    assert found.keys() == {"i-1", "i-2"} and max(found.values()) <= 12


def test_the_own_zone_first() -> None:
    world = World(make(1, zone="a"), make(2, zone="b"), make(3, zone="a"))
    balancer = world.balancer(ZoneFirst("a"))
    assert set(spread(balancer, 20)) == {"i-1", "i-3"}
    world.instances = (make(2, zone="b"), make(3, "critical", zone="a"))
    assert set(spread(balancer, 20)) == {"i-2"}
    picky = World(make(1, zone="a"), make(2, zone="b")).balancer(ZoneFirst("a", at_least=2))
    assert set(spread(picky, 20)) == {"i-1", "i-2"}
    with pytest.raises(InvalidArgument):
        ZoneFirst("a", at_least=0)


def test_only_those_that_are_well_and_suit() -> None:
    states = ("passing", "warning", "critical", "maintenance", "starting", "draining", "unknown")
    balancer = World(*(make(n, state) for n, state in enumerate(states, 1))).balancer()
    assert set(spread(balancer, 20)) == {"i-1", "i-2"}
    assert [instance.id for instance in balancer.instances()] == ["i-1", "i-2"]
    tagged = World(make(1, tags=("new",), zone="a"), make(2, zone="a"), make(3, tags=("new",)))
    assert set(spread(tagged.balancer(tag="new", zone="a"), 9)) == {"i-1"}


def test_nobody_is_there() -> None:
    with pytest.raises(NoInstance):
        World().balancer().pick()
    with pytest.raises(NoInstance):
        World(make(1, "draining")).balancer().pick()


def test_an_instance_that_fails_is_left_alone_for_a_while() -> None:
    world = World(*THREE)
    balancer = world.balancer(ejection=Ejection(failures=3, pause_s=10, pause_s_max=15))
    fail(balancer, "i-2", 3)
    assert set(spread(balancer, 20)) == {"i-1", "i-3"}
    world.now = 9.9
    assert set(spread(balancer, 20)) == {"i-1", "i-3"}
    world.now = 10.0
    fail(balancer, "i-2", 1)  # once more, and for longer
    world.now = 24.9
    assert set(spread(balancer, 20)) == {"i-1", "i-3"}
    world.now = 25.0
    assert set(spread(balancer, 20)) == {"i-1", "i-2", "i-3"}
    fail(balancer, "i-2", 2)  # it did well meanwhile, and starts anew
    assert set(spread(balancer, 20)) == {"i-1", "i-2", "i-3"}


def test_a_success_in_between_counts() -> None:
    balancer = World(make(1), make(2)).balancer(ejection=Ejection(failures=2))
    for _ in range(5):
        fail(balancer, "i-1", 1)
        spread(balancer, 4)
    assert set(spread(balancer, 4)) == {"i-1", "i-2"}


def test_never_too_many_are_left_alone() -> None:
    balancer = World(*(make(number) for number in range(1, 5))).balancer(
        ejection=Ejection(failures=1, share_max=0.5)
    )
    for _ in range(40):
        balancer.pick().done(False)
    assert len(balancer.instances()) == 2
    lonely = World(make(1)).balancer(ejection=Ejection(failures=1))
    lonely.pick().done(False)
    assert len(lonely.instances()) == 1
    two = World(make(1), make(2)).balancer(ejection=Ejection(failures=1, share_max=0.1))
    two.pick().done(False)
    assert len(two.instances()) == 1
    never = World(make(1), make(2)).balancer(ejection=None)
    for _ in range(40):
        never.pick().done(False)
    assert len(never.instances()) == 2


def test_if_the_others_go_the_one_left_alone_is_better_than_none() -> None:
    world = World(make(1), make(2))
    balancer = world.balancer(ejection=Ejection(failures=1))
    fail(balancer, "i-1", 1)
    world.instances = (world.instances[0],)
    assert set(spread(balancer, 3)) == {"i-1"}


def test_if_others_go_those_left_alone_are_not_too_many_for_what_is_left() -> None:
    world = World(*(make(number) for number in range(1, 7)))
    balancer = world.balancer(ejection=Ejection(failures=2, pause_s=10))
    for id in ("i-1", "i-2", "i-3"):
        fail(balancer, id, 2)
        world.now += 1
    assert {instance.id for instance in balancer.instances()} == {"i-4", "i-5", "i-6"}
    world.instances = world.instances[:4]
    assert {instance.id for instance in balancer.instances()} == {"i-1", "i-4"}
    world.instances = (*world.instances, make(7), make(8))
    fail(balancer, "i-1", 1)  # one more is enough
    assert {instance.id for instance in balancer.instances()} == {"i-4", "i-7", "i-8"}


def test_a_program_that_was_started_anew_begins_anew() -> None:
    world = World(make(1), make(2))
    balancer = world.balancer(ejection=Ejection(failures=1))
    fail(balancer, "i-1", 1)
    again = Instance("pay", "i-1", "10.0.0.1", 80, create_revision=9)
    world.instances = (again, world.instances[1])
    assert set(spread(balancer, 4)) == {"i-1", "i-2"}


def test_how_a_block_ends_says_how_the_call_went() -> None:
    balancer = World(make(1), make(2)).balancer(ejection=Ejection(failures=1))
    with pytest.raises(asyncio.CancelledError), balancer.pick():
        raise asyncio.CancelledError
    assert len(balancer.instances()) == 2
    with pytest.raises(ZeroDivisionError), balancer.pick() as call:
        raise ZeroDivisionError
    assert call.instance not in balancer.instances()
    call.done(True)  # too late
    assert len(balancer.instances()) == 1
    assert call.endpoint == "10.0.0.1:80"


def test_threads_share_a_balancer() -> None:
    balancer = World(*THREE).balancer(LeastOutstanding())
    problems: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(300):
                with balancer.pick():
                    pass
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    calls = [balancer.pick() for _ in range(6)]
    assert set(collections.Counter(call.instance.id for call in calls).values()) == {2}


@pytest.mark.parametrize(
    "settings",
    [{"failures": 0}, {"pause_s": -1.0}, {"share_max": 1.5}, {"pause_s_max": float("nan")}],
)
def test_what_makes_no_sense(settings: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument):
        Ejection(**settings)  # type: ignore[arg-type]  # on purpose


POLICIES: list[Policy] = [
    RoundRobin(), Weighted(), LeastOutstanding(), PowerOfTwo(), ConsistentHash(), ZoneFirst("z"),
]  # fmt: skip


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_what_the_guard_keeps_is_called_only_when_nothing_is_healthy(policy: Policy) -> None:
    kept = [make_kept(number, zone="z", weight=9) for number in (1, 2)]
    others = [make(3, "critical"), replace(kept[0], id="away", state=InstanceState("draining"))]
    world = World(*kept, *others, make(4))
    balancer = world.balancer(policy)
    assert spread(balancer, 10) == {"i-4": 10}
    fail(balancer, "i-4", 20)
    assert spread(balancer, 10) == {"i-4": 10}, "failures don't make it unhealthy"
    world.instances = (*kept, *others)
    found: set[str] = set()
    for number in range(40):
        found |= spread(balancer, 1, str(number).encode()).keys()
    assert found == {"i-1", "i-2"}
    for _ in range(5):
        balancer.note(kept[0], False)
    assert spread(balancer, 10) == {"i-2": 10}, "they are left alone for failures as others are"
    world.instances = (*kept, *others, make(5, "warning"))
    assert spread(balancer, 10) == {"i-5": 10}
    world.instances = others
    with pytest.raises(NoInstance):
        balancer.pick()
