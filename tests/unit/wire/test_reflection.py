"""The reflection service, under both of its names; what it answers is compared with grpcio's in test_both_hosts."""

from __future__ import annotations

from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2 as pb

from coordinator.wire import reflection
from coordinator.wire.reflection import Reflection


def test_both_names() -> None:
    old, new = Reflection(["coordinator.v1.KV"]).services()
    assert old.methods == new.methods
    assert (old.name, new.name) == (reflection.NAME, reflection.NAME_V1)


def test_files_come_with_all_that_they_need() -> None:
    asked = pb.ServerReflectionRequest(file_containing_symbol="coordinator.v1.KV")
    answer = Reflection([]).answer(asked)
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(each)
        for each in answer.file_descriptor_response.file_descriptor_proto
    ]
    names = {file.name for file in files}
    assert len(names) == len(files) > 1
    assert all(set(file.dependency) <= names for file in files)


def test_services_are_listed_once_in_order() -> None:
    answer = Reflection(["b", "a", reflection.NAME]).answer(
        pb.ServerReflectionRequest(list_services="")
    )
    listed = [service.name for service in answer.list_services_response.service]
    assert listed == ["a", "b", reflection.NAME]
