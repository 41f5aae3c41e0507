"""Calls that come as JSON over HTTP, as the handlers of gRPC methods see them."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from coordinator.errors import RequestError, Status
from coordinator.gateways.etcd.json_messages import Malformed, Objects, TooLarge

BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
METADATA_PREFIX = "grpc-metadata-"
"""Of HTTP headers that are metadata of the call."""
TOKEN = "token"

HTTP_STATUS = {
    Status.CANCELLED: 408,
    Status.UNKNOWN: 500,
    Status.INVALID_ARGUMENT: 400,
    Status.DEADLINE_EXCEEDED: 504,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.PERMISSION_DENIED: 403,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.FAILED_PRECONDITION: 412,
    Status.ABORTED: 409,
    Status.OUT_OF_RANGE: 400,
    Status.UNIMPLEMENTED: 501,
    Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
    Status.DATA_LOSS: 500,
    Status.UNAUTHENTICATED: 401,
}
"""As etcd's own gateway answers."""


def invalid(message: str) -> RequestError:
    return RequestError(Status.INVALID_ARGUMENT, "INVALID_JSON", message)


def read_message(text: bytes, kind: type[Any]) -> Any:
    """Returns the message that JSON stands for; fields that nobody knows are passed over. Raises RequestError."""
    try:
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise invalid("the body is not a JSON object")
        _check_bytes(fields, kind.DESCRIPTOR)
        return ParseDict(fields, kind(), ignore_unknown_fields=True)
    except (ValueError, ParseError, RecursionError) as error:
        raise invalid(str(error) or "nested too deep") from None


def _check_bytes(fields: dict[str, Any], kind: Descriptor) -> None:
    """Refuses bytes that are not base64: the library would leave out what it can't read."""
    for field in kind.fields:
        for name in {field.name, field.json_name} & fields.keys():
            value = fields[name]
            for each in value if isinstance(value, list) else [value]:
                if field.message_type is not None and isinstance(each, dict):
                    _check_bytes(each, field.message_type)
                elif (
                    field.type == FieldDescriptor.TYPE_BYTES
                    and isinstance(each, str)
                    and not BASE64.fullmatch(each)
                ):
                    raise invalid(f"{name}: illegal base64 data")


def to_json(message: Any, kind: type[Any]) -> dict[str, Any]:
    """Returns the fields of an answer: names as in etcd's messages, 64-bit numbers as strings, bytes in base64."""
    if not isinstance(message, Message):
        message = kind.FromString(message.SerializeToString())
    fields: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return fields


class JsonCall:
    """One call; see `rpc.Call`."""

    def __init__(self, request: web.Request) -> None:
        self._request = request

    @property
    def peer(self) -> str:
        """The client's address."""
        return self._request.remote or ""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the client sent along in headers meant for that."""
        found = {
            name.lower().removeprefix(METADATA_PREFIX): value
            for name, value in self._request.headers.items()
            if name.lower().startswith(METADATA_PREFIX)
        }
        if (token := self._request.headers.get("Authorization")) is not None:
            found[TOKEN] = token
        return found

    @property
    def peer_certificate(self) -> Mapping[str, Any] | None:
        """None: HTTP is not encrypted here."""
        return None

    @property
    def deadline(self) -> float | None:
        """None: HTTP tells of none."""
        return None


class JsonStream(JsonCall):
    """One stream: objects that follow each other in the body, and a line for each answer; see `rpc.Stream`."""

    def __init__(
        self,
        request: web.Request,
        kinds: tuple[type[Any], type[Any]],
        message_size_bytes_max: int,
    ) -> None:
        """`kinds`: of requests and of responses."""
        super().__init__(request)
        self._takes, self._gives = kinds
        self._objects = Objects(message_size_bytes_max)
        self._waiting: deque[bytes] = deque()
        self._broken: RequestError | None = None
        self._response: web.StreamResponse | None = None

    async def receive(self) -> Any:
        """Returns the client's next message; None when it has sent its last. Raises RequestError."""
        while not self._waiting:
            if self._broken is not None:
                raise self._broken
            piece = await self._request.content.readany()
            try:
                # What was whole before it broke counts.
                self._waiting.extend(self._objects.feed(piece))
                if not piece:
                    self._objects.end()
                    return None
            except TooLarge as error:
                self._broken = RequestError(Status.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", str(error))
            except Malformed as error:
                self._broken = invalid(str(error))
        return read_message(self._waiting.popleft(), self._takes)

    async def send(self, response: Any) -> None:
        """Sends a message; waits while the client is slow to read."""
        await self._write({"result": to_json(response, self._gives)})

    async def _write(self, line: dict[str, Any]) -> None:
        if self._response is None:
            self._response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await self._response.prepare(self._request)
        await self._response.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")

    async def finish(self, error: RequestError | None) -> web.StreamResponse:
        """Returns the response, with a last word if the call failed."""
        if self._response is None:
            if error is not None:
                return failure(error)
            self._response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await self._response.prepare(self._request)
        elif error is not None:
            status = HTTP_STATUS[error.status]
            told = {"grpc_code": error.status.value, "http_code": status, "message": error.message}
            await self._write({"error": told})
        await self._response.write_eof()
        return self._response


def failure(error: RequestError) -> web.Response:
    """Returns what a call that failed is answered with."""
    body = {"error": error.message, "message": error.message, "code": error.status.value}
    return web.json_response(body, status=HTTP_STATUS[error.status])
