from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Cause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAUSE_UNSPECIFIED: _ClassVar[Cause]
    CAUSE_DELETED: _ClassVar[Cause]
    CAUSE_SESSION_CLOSED: _ClassVar[Cause]
    CAUSE_SESSION_EXPIRED: _ClassVar[Cause]
    CAUSE_CONNECTION_LOST: _ClassVar[Cause]
    CAUSE_CHECK_FAILED: _ClassVar[Cause]
    CAUSE_DEREGISTERED: _ClassVar[Cause]
CAUSE_UNSPECIFIED: Cause
CAUSE_DELETED: Cause
CAUSE_SESSION_CLOSED: Cause
CAUSE_SESSION_EXPIRED: Cause
CAUSE_CONNECTION_LOST: Cause
CAUSE_CHECK_FAILED: Cause
CAUSE_DEREGISTERED: Cause

class ResponseHeader(_message.Message):
    __slots__ = ("cluster_id", "member_id", "revision", "term", "local")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    cluster_id: int
    member_id: int
    revision: int
    term: int
    local: bool
    def __init__(self, cluster_id: _Optional[int] = ..., member_id: _Optional[int] = ..., revision: _Optional[int] = ..., term: _Optional[int] = ..., local: bool = ...) -> None: ...

class Selector(_message.Message):
    __slots__ = ("key", "range_end", "prefix")
    KEY_FIELD_NUMBER: _ClassVar[int]
    RANGE_END_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    range_end: bytes
    prefix: bool
    def __init__(self, key: _Optional[bytes] = ..., range_end: _Optional[bytes] = ..., prefix: bool = ...) -> None: ...

class KeyValue(_message.Message):
    __slots__ = ("key", "value", "create_revision", "mod_revision", "version", "session")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CREATE_REVISION_FIELD_NUMBER: _ClassVar[int]
    MOD_REVISION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    session: int
    def __init__(self, key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., create_revision: _Optional[int] = ..., mod_revision: _Optional[int] = ..., version: _Optional[int] = ..., session: _Optional[int] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("type", "kv", "prev_kv", "cause")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PUT: _ClassVar[Event.Type]
        DELETE: _ClassVar[Event.Type]
    PUT: Event.Type
    DELETE: Event.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    KV_FIELD_NUMBER: _ClassVar[int]
    PREV_KV_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    type: Event.Type
    kv: KeyValue
    prev_kv: KeyValue
    cause: Cause
    def __init__(self, type: _Optional[_Union[Event.Type, str]] = ..., kv: _Optional[_Union[KeyValue, _Mapping]] = ..., prev_kv: _Optional[_Union[KeyValue, _Mapping]] = ..., cause: _Optional[_Union[Cause, str]] = ...) -> None: ...

class EventBatch(_message.Message):
    __slots__ = ("revision", "events", "partial")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    revision: int
    events: _containers.RepeatedCompositeFieldContainer[Event]
    partial: bool
    def __init__(self, revision: _Optional[int] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., partial: bool = ...) -> None: ...

class RequestId(_message.Message):
    __slots__ = ("session", "sequence", "acknowledged_below")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_BELOW_FIELD_NUMBER: _ClassVar[int]
    session: int
    sequence: int
    acknowledged_below: int
    def __init__(self, session: _Optional[int] = ..., sequence: _Optional[int] = ..., acknowledged_below: _Optional[int] = ...) -> None: ...
