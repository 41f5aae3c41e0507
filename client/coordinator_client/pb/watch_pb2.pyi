from coordinator_client.pb import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchRequest(_message.Message):
    __slots__ = ("create", "cancel", "progress")
    CREATE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    create: WatchCreate
    cancel: WatchCancel
    progress: WatchProgress
    def __init__(self, create: _Optional[_Union[WatchCreate, _Mapping]] = ..., cancel: _Optional[_Union[WatchCancel, _Mapping]] = ..., progress: _Optional[_Union[WatchProgress, _Mapping]] = ...) -> None: ...

class WatchCreate(_message.Message):
    __slots__ = ("watch_id", "selector", "start_revision", "with_snapshot", "prev_kv", "no_put", "no_delete", "progress_notify", "min_revision", "local", "cluster_id", "grouped")
    WATCH_ID_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    START_REVISION_FIELD_NUMBER: _ClassVar[int]
    WITH_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    PREV_KV_FIELD_NUMBER: _ClassVar[int]
    NO_PUT_FIELD_NUMBER: _ClassVar[int]
    NO_DELETE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_NOTIFY_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    GROUPED_FIELD_NUMBER: _ClassVar[int]
    watch_id: int
    selector: _common_pb2.Selector
    start_revision: int
    with_snapshot: bool
    prev_kv: bool
    no_put: bool
    no_delete: bool
    progress_notify: bool
    min_revision: int
    local: bool
    cluster_id: int
    grouped: bool
    def __init__(self, watch_id: _Optional[int] = ..., selector: _Optional[_Union[_common_pb2.Selector, _Mapping]] = ..., start_revision: _Optional[int] = ..., with_snapshot: bool = ..., prev_kv: bool = ..., no_put: bool = ..., no_delete: bool = ..., progress_notify: bool = ..., min_revision: _Optional[int] = ..., local: bool = ..., cluster_id: _Optional[int] = ..., grouped: bool = ...) -> None: ...

class WatchCancel(_message.Message):
    __slots__ = ("watch_id",)
    WATCH_ID_FIELD_NUMBER: _ClassVar[int]
    watch_id: int
    def __init__(self, watch_id: _Optional[int] = ...) -> None: ...

class WatchProgress(_message.Message):
    __slots__ = ("watch_id",)
    WATCH_ID_FIELD_NUMBER: _ClassVar[int]
    watch_id: int
    def __init__(self, watch_id: _Optional[int] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("header", "watch_id", "created", "snapshot", "events", "progressed", "canceled", "watch_ids", "grouped")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    WATCH_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    PROGRESSED_FIELD_NUMBER: _ClassVar[int]
    CANCELED_FIELD_NUMBER: _ClassVar[int]
    WATCH_IDS_FIELD_NUMBER: _ClassVar[int]
    GROUPED_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    watch_id: int
    created: WatchCreated
    snapshot: WatchSnapshot
    events: WatchEvents
    progressed: WatchProgressed
    canceled: WatchCanceled
    watch_ids: _containers.RepeatedScalarFieldContainer[int]
    grouped: _containers.RepeatedCompositeFieldContainer[WatchResponse]
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., watch_id: _Optional[int] = ..., created: _Optional[_Union[WatchCreated, _Mapping]] = ..., snapshot: _Optional[_Union[WatchSnapshot, _Mapping]] = ..., events: _Optional[_Union[WatchEvents, _Mapping]] = ..., progressed: _Optional[_Union[WatchProgressed, _Mapping]] = ..., canceled: _Optional[_Union[WatchCanceled, _Mapping]] = ..., watch_ids: _Optional[_Iterable[int]] = ..., grouped: _Optional[_Iterable[_Union[WatchResponse, _Mapping]]] = ...) -> None: ...

class WatchCreated(_message.Message):
    __slots__ = ("start_revision",)
    START_REVISION_FIELD_NUMBER: _ClassVar[int]
    start_revision: int
    def __init__(self, start_revision: _Optional[int] = ...) -> None: ...

class WatchSnapshot(_message.Message):
    __slots__ = ("kvs", "revision", "last")
    KVS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    kvs: _containers.RepeatedCompositeFieldContainer[_common_pb2.KeyValue]
    revision: int
    last: bool
    def __init__(self, kvs: _Optional[_Iterable[_Union[_common_pb2.KeyValue, _Mapping]]] = ..., revision: _Optional[int] = ..., last: bool = ...) -> None: ...

class WatchEvents(_message.Message):
    __slots__ = ("batches",)
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[_common_pb2.EventBatch]
    def __init__(self, batches: _Optional[_Iterable[_Union[_common_pb2.EventBatch, _Mapping]]] = ...) -> None: ...

class WatchProgressed(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class WatchCanceled(_message.Message):
    __slots__ = ("reason", "compacted_revision", "message")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_CLIENT: _ClassVar[WatchCanceled.Reason]
        REASON_COMPACTED: _ClassVar[WatchCanceled.Reason]
        REASON_INVALID: _ClassVar[WatchCanceled.Reason]
        REASON_LIMIT: _ClassVar[WatchCanceled.Reason]
        REASON_UNAVAILABLE: _ClassVar[WatchCanceled.Reason]
        REASON_CLUSTER: _ClassVar[WatchCanceled.Reason]
    REASON_CLIENT: WatchCanceled.Reason
    REASON_COMPACTED: WatchCanceled.Reason
    REASON_INVALID: WatchCanceled.Reason
    REASON_LIMIT: WatchCanceled.Reason
    REASON_UNAVAILABLE: WatchCanceled.Reason
    REASON_CLUSTER: WatchCanceled.Reason
    REASON_FIELD_NUMBER: _ClassVar[int]
    COMPACTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: WatchCanceled.Reason
    compacted_revision: int
    message: str
    def __init__(self, reason: _Optional[_Union[WatchCanceled.Reason, str]] = ..., compacted_revision: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...
