from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.api.framing import field, packed_field, varint, varint_field
from coordinator_client.pb import kv_pb2, pipeline_pb2, session_pb2

NUMBERS = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 127, 128, 2**14 - 1, 2**14, 2**64 - 1])


@given(NUMBERS, st.binary(max_size=300))
def test_parts_make_the_message_that_protobuf_reads(number: int, key: bytes) -> None:
    put = kv_pb2.PutResponse(key=key)
    encoded = varint_field(1, number) + field(4, put.SerializeToString())
    read = pipeline_pb2.PipelineResponse.FromString(field(1, encoded) + field(1, encoded))
    expected = pipeline_pb2.PipelineResult(id=number, put=put)
    assert list(read.results) == [expected, expected]


def test_numbers_have_groups_of_seven_bits() -> None:
    assert varint(0) == b"\x00" and varint(127) == b"\x7f" and varint(128) == b"\x80\x01"
    assert varint(300) == b"\xac\x02" and len(varint(2**64 - 1)) == 10


@given(st.lists(st.integers(0, 2**63 - 1)))
def test_numbers_are_packed(numbers: list[int]) -> None:
    request = session_pb2.SessionKeepAliveRequest.FromString(packed_field(1, numbers))
    assert list(request.ids) == numbers
