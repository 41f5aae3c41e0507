"""A put that is all there is takes a shorter way to the same result."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.state.commands import Put
from coordinator.state.keyspace import Keyspace
from coordinator.state.results import Failure
from coordinator.state.transaction import Transaction, put_alone

PUTS = st.builds(
    Put,
    key=st.sampled_from([b"/a", b"/b"]),
    value=st.binary(max_size=2),
    session=st.sampled_from([0, 1, 9]),
    prev_kv=st.booleans(),
    keep_value=st.booleans(),
    keep_session=st.booleans(),
)


@given(st.lists(PUTS, max_size=12))
def test_a_put_alone_is_what_a_transaction_would_make_of_it(puts: list[Put]) -> None:
    alone, within = Keyspace(), Keyspace()
    for op in puts:
        transaction = Transaction(within, {1})
        result = transaction.run(op)
        batch = None if isinstance(result, Failure) else transaction.commit()
        assert put_alone(alone, {1}, op) == (result, batch)
    assert alone.hash_of_keys == within.hash_of_keys and alone.revision == within.revision
    assert alone.hash_of_history == within.hash_of_history
