from coordinator_client.pb import kv_pb2 as _kv_pb2
from coordinator_client.pb import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PipelineRequest(_message.Message):
    __slots__ = ("calls",)
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[PipelineCall]
    def __init__(self, calls: _Optional[_Iterable[_Union[PipelineCall, _Mapping]]] = ...) -> None: ...

class PipelineCall(_message.Message):
    __slots__ = ("id", "timeout_ms", "range", "put", "delete_range", "txn", "compact", "session_open", "session_close", "session_get")
    ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    PUT_FIELD_NUMBER: _ClassVar[int]
    DELETE_RANGE_FIELD_NUMBER: _ClassVar[int]
    TXN_FIELD_NUMBER: _ClassVar[int]
    COMPACT_FIELD_NUMBER: _ClassVar[int]
    SESSION_OPEN_FIELD_NUMBER: _ClassVar[int]
    SESSION_CLOSE_FIELD_NUMBER: _ClassVar[int]
    SESSION_GET_FIELD_NUMBER: _ClassVar[int]
    id: int
    timeout_ms: int
    range: _kv_pb2.RangeRequest
    put: _kv_pb2.PutRequest
    delete_range: _kv_pb2.DeleteRangeRequest
    txn: _kv_pb2.TxnRequest
    compact: _kv_pb2.CompactRequest
    session_open: _session_pb2.SessionOpenRequest
    session_close: _session_pb2.SessionCloseRequest
    session_get: _session_pb2.SessionGetRequest
    def __init__(self, id: _Optional[int] = ..., timeout_ms: _Optional[int] = ..., range: _Optional[_Union[_kv_pb2.RangeRequest, _Mapping]] = ..., put: _Optional[_Union[_kv_pb2.PutRequest, _Mapping]] = ..., delete_range: _Optional[_Union[_kv_pb2.DeleteRangeRequest, _Mapping]] = ..., txn: _Optional[_Union[_kv_pb2.TxnRequest, _Mapping]] = ..., compact: _Optional[_Union[_kv_pb2.CompactRequest, _Mapping]] = ..., session_open: _Optional[_Union[_session_pb2.SessionOpenRequest, _Mapping]] = ..., session_close: _Optional[_Union[_session_pb2.SessionCloseRequest, _Mapping]] = ..., session_get: _Optional[_Union[_session_pb2.SessionGetRequest, _Mapping]] = ...) -> None: ...

class PipelineResponse(_message.Message):
    __slots__ = ("results", "leader")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[PipelineResult]
    leader: str
    def __init__(self, results: _Optional[_Iterable[_Union[PipelineResult, _Mapping]]] = ..., leader: _Optional[str] = ...) -> None: ...

class PipelineResult(_message.Message):
    __slots__ = ("id", "error", "range", "put", "delete_range", "txn", "compact", "session_open", "session_close", "session_get")
    ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    PUT_FIELD_NUMBER: _ClassVar[int]
    DELETE_RANGE_FIELD_NUMBER: _ClassVar[int]
    TXN_FIELD_NUMBER: _ClassVar[int]
    COMPACT_FIELD_NUMBER: _ClassVar[int]
    SESSION_OPEN_FIELD_NUMBER: _ClassVar[int]
    SESSION_CLOSE_FIELD_NUMBER: _ClassVar[int]
    SESSION_GET_FIELD_NUMBER: _ClassVar[int]
    id: int
    error: PipelineError
    range: _kv_pb2.RangeResponse
    put: _kv_pb2.PutResponse
    delete_range: _kv_pb2.DeleteRangeResponse
    txn: _kv_pb2.TxnResponse
    compact: _kv_pb2.CompactResponse
    session_open: _session_pb2.SessionOpenResponse
    session_close: _session_pb2.SessionCloseResponse
    session_get: _session_pb2.SessionGetResponse
    def __init__(self, id: _Optional[int] = ..., error: _Optional[_Union[PipelineError, _Mapping]] = ..., range: _Optional[_Union[_kv_pb2.RangeResponse, _Mapping]] = ..., put: _Optional[_Union[_kv_pb2.PutResponse, _Mapping]] = ..., delete_range: _Optional[_Union[_kv_pb2.DeleteRangeResponse, _Mapping]] = ..., txn: _Optional[_Union[_kv_pb2.TxnResponse, _Mapping]] = ..., compact: _Optional[_Union[_kv_pb2.CompactResponse, _Mapping]] = ..., session_open: _Optional[_Union[_session_pb2.SessionOpenResponse, _Mapping]] = ..., session_close: _Optional[_Union[_session_pb2.SessionCloseResponse, _Mapping]] = ..., session_get: _Optional[_Union[_session_pb2.SessionGetResponse, _Mapping]] = ...) -> None: ...

class PipelineError(_message.Message):
    __slots__ = ("code", "message", "reason", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    reason: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., reason: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...
