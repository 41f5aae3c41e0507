from coordinator_client.pb import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionOpenRequest(_message.Message):
    __slots__ = ("ttl_ms", "id", "disconnect_grace_ms", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DISCONNECT_GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ttl_ms: int
    id: int
    disconnect_grace_ms: int
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, ttl_ms: _Optional[int] = ..., id: _Optional[int] = ..., disconnect_grace_ms: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SessionOpenResponse(_message.Message):
    __slots__ = ("header", "id", "ttl_ms")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    id: int
    ttl_ms: int
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., id: _Optional[int] = ..., ttl_ms: _Optional[int] = ...) -> None: ...

class SessionKeepAliveRequest(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, ids: _Optional[_Iterable[int]] = ...) -> None: ...

class SessionKeepAliveResponse(_message.Message):
    __slots__ = ("header", "results")
    class Result(_message.Message):
        __slots__ = ("id", "alive", "ttl_ms")
        ID_FIELD_NUMBER: _ClassVar[int]
        ALIVE_FIELD_NUMBER: _ClassVar[int]
        TTL_MS_FIELD_NUMBER: _ClassVar[int]
        id: int
        alive: bool
        ttl_ms: int
        def __init__(self, id: _Optional[int] = ..., alive: bool = ..., ttl_ms: _Optional[int] = ...) -> None: ...
    HEADER_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    results: _containers.RepeatedCompositeFieldContainer[SessionKeepAliveResponse.Result]
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., results: _Optional[_Iterable[_Union[SessionKeepAliveResponse.Result, _Mapping]]] = ...) -> None: ...

class SessionCloseRequest(_message.Message):
    __slots__ = ("id", "request")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    id: int
    request: _common_pb2.RequestId
    def __init__(self, id: _Optional[int] = ..., request: _Optional[_Union[_common_pb2.RequestId, _Mapping]] = ...) -> None: ...

class SessionCloseResponse(_message.Message):
    __slots__ = ("header", "deleted")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    deleted: int
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., deleted: _Optional[int] = ...) -> None: ...

class SessionRecord(_message.Message):
    __slots__ = ("id", "ttl_ms", "disconnect_grace_ms", "metadata", "key_count", "open_revision")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    DISCONNECT_GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    KEY_COUNT_FIELD_NUMBER: _ClassVar[int]
    OPEN_REVISION_FIELD_NUMBER: _ClassVar[int]
    id: int
    ttl_ms: int
    disconnect_grace_ms: int
    metadata: _containers.ScalarMap[str, str]
    key_count: int
    open_revision: int
    def __init__(self, id: _Optional[int] = ..., ttl_ms: _Optional[int] = ..., disconnect_grace_ms: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ..., key_count: _Optional[int] = ..., open_revision: _Optional[int] = ...) -> None: ...

class SessionGetRequest(_message.Message):
    __slots__ = ("id", "local")
    ID_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    id: int
    local: bool
    def __init__(self, id: _Optional[int] = ..., local: bool = ...) -> None: ...

class SessionGetResponse(_message.Message):
    __slots__ = ("header", "session", "keys", "more")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    session: SessionRecord
    keys: _containers.RepeatedScalarFieldContainer[bytes]
    more: bool
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., session: _Optional[_Union[SessionRecord, _Mapping]] = ..., keys: _Optional[_Iterable[bytes]] = ..., more: bool = ...) -> None: ...

class SessionListRequest(_message.Message):
    __slots__ = ("local", "limit", "start_after")
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    START_AFTER_FIELD_NUMBER: _ClassVar[int]
    local: bool
    limit: int
    start_after: int
    def __init__(self, local: bool = ..., limit: _Optional[int] = ..., start_after: _Optional[int] = ...) -> None: ...

class SessionListResponse(_message.Message):
    __slots__ = ("header", "sessions", "more")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    sessions: _containers.RepeatedCompositeFieldContainer[SessionRecord]
    more: bool
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., sessions: _Optional[_Iterable[_Union[SessionRecord, _Mapping]]] = ..., more: bool = ...) -> None: ...
