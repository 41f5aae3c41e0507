"""The service `ServerReflection`, for any host: which services there are, and what their messages look like.

See https://github.com/grpc/grpc/blob/master/doc/server-reflection.md. Both its versions have the same messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2 as pb

from coordinator.errors import Status
from coordinator.rpc import Bidi, Service, Stream

NAME = "grpc.reflection.v1alpha.ServerReflection"
NAME_V1 = "grpc.reflection.v1.ServerReflection"


class Reflection:
    """Answers from the descriptors of this process."""

    def __init__(self, names: Iterable[str]) -> None:
        """`names`: the services that are listed, this one aside."""
        self._names = sorted({*names, NAME})
        self._pool = descriptor_pool.Default()

    def services(self) -> tuple[Service, Service]:
        """Returns the methods for a host, under both names."""
        method = Bidi(
            "ServerReflectionInfo",
            pb.ServerReflectionRequest,
            pb.ServerReflectionResponse,
            self.answer_all,
        )
        return Service(NAME, (method,)), Service(NAME_V1, (method,), described=False)

    async def answer_all(self, stream: Stream[Any, Any]) -> None:
        """Answers each question of a stream."""
        while (request := await stream.receive()) is not None:
            response = self.answer(request)
            response.original_request.CopyFrom(request)
            await stream.send(response)

    def answer(self, request: Any) -> Any:
        """Returns the answer to one question."""
        kind = request.WhichOneof("message_request")
        if kind is None:
            return _error(Status.INVALID_ARGUMENT, "invalid argument")
        asked = getattr(request, kind)
        try:
            if kind == "file_by_filename":
                return _files(self._pool.FindFileByName(asked))
            if kind == "file_containing_symbol":
                return _files(self._pool.FindFileContainingSymbol(asked))
            if kind == "file_containing_extension":
                message = self._pool.FindMessageTypeByName(asked.containing_type)
                extension = self._pool.FindExtensionByNumber(message, asked.extension_number)
                return _files(self._pool.FindFileContainingSymbol(extension.full_name))
            if kind == "all_extension_numbers_of_type":
                return self._extensions(asked)
        except KeyError:
            return _error(Status.NOT_FOUND, "not found")
        listed = [pb.ServiceResponse(name=name) for name in self._names]
        return pb.ServerReflectionResponse(
            list_services_response=pb.ListServiceResponse(service=listed)
        )

    def _extensions(self, name: str) -> Any:
        message = self._pool.FindMessageTypeByName(name)
        numbers = sorted(extension.number for extension in self._pool.FindAllExtensions(message))
        return pb.ServerReflectionResponse(
            all_extension_numbers_response=pb.ExtensionNumberResponse(
                base_type_name=message.full_name, extension_number=numbers
            )
        )


def _error(status: Status, words: str) -> Any:
    return pb.ServerReflectionResponse(
        error_response=pb.ErrorResponse(error_code=status.value, error_message=words)
    )


def _files(file: Any) -> Any:
    """Returns a file and all that it depends on."""
    found: list[bytes] = []
    for each in _with_dependencies(file, set()):
        described = descriptor_pb2.FileDescriptorProto()
        each.CopyToProto(described)
        found.append(described.SerializeToString())
    return pb.ServerReflectionResponse(
        file_descriptor_response=pb.FileDescriptorResponse(file_descriptor_proto=found)
    )


def _with_dependencies(file: Any, seen: set[str]) -> Iterator[Any]:
    seen.add(file.name)
    yield file
    for other in file.dependencies:
        if other.name not in seen:
            yield from _with_dependencies(other, seen)
