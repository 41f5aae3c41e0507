"""A client that speaks etcd's API by the bytes, and tells answers in a form in which two servers can be compared."""

from __future__ import annotations

import queue
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.json_format import MessageToDict

from coordinator.gateways.etcd.pb import kv_pb2, maintenance_pb2, watch_pb2

TIMEOUT_S = 10.0
OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
)
OWN = frozenset({"cluster_id", "member_id", "raft_term"})
"""Fields of headers that are another on every server."""

Answer = tuple[str, Any]
"""Name of the status, and the message or the text."""


def plain(message: Any) -> dict[str, Any]:
    """Returns a message without what is another on every server."""
    fields: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    strip(fields)
    return fields


def strip(fields: Any) -> None:
    """Takes out of headers what is another on every server."""
    if isinstance(fields, dict):
        header = fields.get("header")
        if isinstance(header, dict):
            fields["header"] = {k: v for k, v in header.items() if k not in OWN}
        for value in fields.values():
            strip(value)
    elif isinstance(fields, list):
        for value in fields:
            strip(value)


def response_of(request: Any) -> type[Any]:
    """Returns the response that stands beside a request."""
    module = sys.modules[type(request).__module__]
    found: type[Any] = getattr(module, type(request).__name__.removesuffix("Request") + "Response")
    return found


class Remote:
    """One server."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, options=OPTIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.channel.close()

    def call(self, method: str, request: Any, **more: Any) -> Answer:
        """Returns what a unary call comes to."""
        stub: Any = self.channel.unary_unary(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response_of(request).FromString,
        )
        try:
            return "OK", plain(stub(request, timeout=TIMEOUT_S, **more))
        except grpc.RpcError as error:
            return error.code().name, error.details()

    def stream(self, method: str, request: Any) -> tuple[list[dict[str, Any]], Answer]:
        """Sends one message; returns the answers until the stream ends, and how it ends."""
        stub: Any = self.channel.stream_stream(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response_of(request).FromString,
        )
        answers: list[dict[str, Any]] = []
        try:
            for response in stub(iter([request]), timeout=TIMEOUT_S):
                answers.append(plain(response))
        except grpc.RpcError as error:
            return answers, (error.code().name, error.details())
        return answers, ("OK", None)

    def leads(self) -> bool:
        """Whether the server answers what takes a leader."""
        code, _ = self.call("etcdserverpb.KV/Range", kv_pb2.RangeRequest(key=b"\0"))
        return code == "OK"

    def revision(self) -> int:
        _, answer = self.call("etcdserverpb.KV/Range", kv_pb2.RangeRequest(key=b"\0"))
        return int(answer["header"]["revision"])

    def compacted_revision(self) -> int:
        """The revision up to which history is gone."""
        ask = maintenance_pb2.HashKVRequest()
        _, answer = self.call("etcdserverpb.Maintenance/HashKV", ask)
        return int(answer.get("compact_revision", 0))


class Watching:
    """One watch stream."""

    def __init__(self, remote: Remote) -> None:
        self._requests: queue.SimpleQueue[watch_pb2.WatchRequest | None] = queue.SimpleQueue()
        stub: Any = remote.channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=watch_pb2.WatchRequest.SerializeToString,
            response_deserializer=watch_pb2.WatchResponse.FromString,
        )
        self._call = stub(self._sent(), timeout=TIMEOUT_S)

    def _sent(self) -> Iterator[watch_pb2.WatchRequest]:
        while (request := self._requests.get()) is not None:
            yield request

    def create(self, **fields: Any) -> None:
        create = watch_pb2.WatchCreateRequest(**fields)
        self._requests.put(watch_pb2.WatchRequest(create_request=create))

    def cancel(self, watch_id: int) -> None:
        cancel = watch_pb2.WatchCancelRequest(watch_id=watch_id)
        self._requests.put(watch_pb2.WatchRequest(cancel_request=cancel))

    def ask_progress(self) -> None:
        progress = watch_pb2.WatchProgressRequest()
        self._requests.put(watch_pb2.WatchRequest(progress_request=progress))

    def next(self) -> watch_pb2.WatchResponse:
        """Returns the next response; raises grpc.RpcError when the stream ends instead."""
        response: watch_pb2.WatchResponse = next(self._call)
        return response

    def close(self) -> None:
        self._requests.put(None)
        self._call.cancel()
