"""A call that failed is what grpcio's are."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest

from coordinator_client.grpc_channels.failed_call import FailedCall


def test_it_is_an_error_a_call_a_future_and_a_stream() -> None:
    failed = FailedCall(grpc.StatusCode.UNAVAILABLE, "nobody there")
    assert isinstance(failed, grpc.RpcError)
    assert isinstance(failed, grpc.Call)
    assert isinstance(failed, grpc.Future)
    assert (failed.code(), failed.details()) == (grpc.StatusCode.UNAVAILABLE, "nobody there")
    assert str(failed) == failed.debug_error_string() == "UNAVAILABLE: nobody there"
    assert (failed.initial_metadata(), failed.trailing_metadata()) == ((), ())
    assert failed.done()
    assert not (failed.running() or failed.is_active() or failed.cancel() or failed.cancelled())
    assert not failed.add_callback(lambda: None)
    assert failed.exception() is failed
    assert failed.time_remaining() == 0
    uses: list[Callable[[], object]] = [failed.result, lambda: next(iter(failed))]
    for use in uses:
        with pytest.raises(FailedCall) as raised:
            use()
        assert raised.value is failed
    assert failed.traceback() is not None
    told: list[object] = []
    failed.add_done_callback(told.append)
    assert told == [failed]


def test_one_under_which_the_channel_was_closed_is_canceled() -> None:
    assert FailedCall(grpc.StatusCode.CANCELLED, "Channel closed!").cancelled()
