from __future__ import annotations

import pytest

from coordinator_client import (
    Delete,
    DeleteResult,
    Get,
    InvalidArgument,
    Key,
    KeyValue,
    Nested,
    Prefix,
    Put,
    PutResult,
    Range,
    RangeResult,
    TxnResult,
    aio,
)


async def test_the_branch_depends_on_the_compares(client: aio.Client) -> None:
    def guarded() -> aio.Txn:
        txn = client.txn().when(Key("/lock").missing(), Prefix("/lock/").missing())
        return txn.then(Put("/lock", "me")).otherwise(Get("/lock"))

    won = await guarded().commit()
    assert won.succeeded
    assert won.responses == (PutResult(b"/lock", won.revision),)
    lost = await guarded().commit()
    assert not lost.succeeded
    (held,) = lost.responses
    assert isinstance(held, KeyValue) and held.text == "me"


async def test_operations_return_their_results_in_order(client: aio.Client) -> None:
    await client.put("/t/a", "1")
    result = (
        await client.txn()
        .when(Key("/t/a").version == 1)
        .when(Key("/t/a").value == "1")
        .then(Put("/t/b", "2"), Get("/t/none"), Range("/t/", prefix=True))
        .then(
            Delete("/t/a", prev=True),
            Nested(when=(Key("/t/c").exists(),), otherwise=(Get("/t/b"),)),
        )
        .commit()
    )
    put, none, many, deleted, nested = result.responses
    assert isinstance(put, PutResult) and put.revision == result.revision
    assert none is None
    assert isinstance(many, RangeResult) and [kv.text for kv in many.kvs] == ["1", "2"]
    assert isinstance(deleted, DeleteResult) and deleted.prevs[0].text == "1"
    assert isinstance(nested, TxnResult) and not nested.succeeded
    (inner,) = nested.responses
    assert isinstance(inner, KeyValue) and inner.text == "2"


@pytest.mark.parametrize(
    ("compare", "holds"),
    [
        (Key("/k").version == 2, True), (Key("/k").version != 2, False),
        (Key("/k").version < 2, False), (Key("/k").version >= 2, True),
        (Key("/k").value == "new", True), (Key("/k").value > "nev", True),
        (Key("/k").create_revision > 0, True), (Key("/k").session == 0, True),
        (Key("/k").exists(), True), (Key("/none").missing(), True),
        (Key("/none").version == 0, True), (Key("/none").value == "", False),
        (Prefix("/").version == 2, True), (Prefix("/").version > 2, False),
    ],
)  # fmt: skip
async def test_compares_mean_what_they_say(
    client: aio.Client, compare: object, holds: bool
) -> None:
    await client.put("/k", "old")
    await client.put("/k", "new")
    result = await client.txn().when(compare).commit()  # type: ignore[arg-type]  # parameters are objects
    assert result.succeeded == holds


async def test_mistakes_are_refused_at_once(client: aio.Client) -> None:
    with pytest.raises(InvalidArgument, match="not a compare"):
        client.txn().when(True)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(InvalidArgument):
        await client.txn().then(Put("/a"), Put("/a")).commit()
