"""What a program asks for is looked at before anything is sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coordinator_client import InvalidArgument, aio

WRONG: list[tuple[str, Callable[[aio.Client], object]]] = [
    ("name is", lambda client: client.lock("a/b")),
    ("name is", lambda client: client.rwlock("")),
    ("name is", lambda client: client.semaphore("a b", 1)),
    ("name is", lambda client: client.election("ä")),
    ("permits is", lambda client: client.semaphore("a", 0)),
    ("ttl is", lambda client: client.lock("a", ttl=-1)),
    ("ttl is", lambda client: client.election("a", ttl="x")),  # type: ignore[arg-type]  # wrong on purpose
    ("disconnect_grace is", lambda client: client.rwlock("a", disconnect_grace=float("nan"))),
    ("owner is", lambda client: client.lock("a", owner=b"x")),  # type: ignore[arg-type]  # wrong on purpose
    ("on_lost is", lambda client: client.election("a", on_lost=1)),  # type: ignore[arg-type]  # wrong on purpose
    ("reentrant is", lambda client: client.lock("a", reentrant=2)),  # type: ignore[arg-type]  # wrong on purpose
]


@pytest.mark.parametrize(("message", "ask"), WRONG)
async def test_what_can_not_be_meant_is_named(
    message: str, ask: Callable[[aio.Client], object]
) -> None:
    async with aio.connect("127.0.0.1:1", timeout_s=0.1) as client:
        with pytest.raises(InvalidArgument, match=message):
            ask(client)


async def test_a_session_says_what_it_is_for(client: aio.Client) -> None:
    async with client.lock("a", ttl=7, disconnect_grace=0.5) as lock:
        assert lock.session is not None
        found = await client.get_session(lock.session.id)
        assert (found.ttl_s, found.disconnect_grace_s) == (7, 0.5)
        assert found.metadata == {"purpose": "/locks/a"}
        assert found.keys == (lock.key,)


async def test_a_ttl_outside_the_limits_is_the_clusters_to_refuse(client: aio.Client) -> None:
    with pytest.raises(InvalidArgument):
        await client.lock("a", ttl=0.001).acquire()
