from coordinator_client.pb import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATE_UNSPECIFIED: _ClassVar[State]
    STATE_STARTING: _ClassVar[State]
    STATE_PASSING: _ClassVar[State]
    STATE_WARNING: _ClassVar[State]
    STATE_CRITICAL: _ClassVar[State]
    STATE_DRAINING: _ClassVar[State]
    STATE_MAINTENANCE: _ClassVar[State]
    STATE_UNKNOWN: _ClassVar[State]
STATE_UNSPECIFIED: State
STATE_STARTING: State
STATE_PASSING: State
STATE_WARNING: State
STATE_CRITICAL: State
STATE_DRAINING: State
STATE_MAINTENANCE: State
STATE_UNKNOWN: State

class Port(_message.Message):
    __slots__ = ("port", "protocol")
    PORT_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    port: int
    protocol: str
    def __init__(self, port: _Optional[int] = ..., protocol: _Optional[str] = ...) -> None: ...

class HttpCheck(_message.Message):
    __slots__ = ("url", "method", "headers", "status", "body_contains", "tls_verify")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    URL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    BODY_CONTAINS_FIELD_NUMBER: _ClassVar[int]
    TLS_VERIFY_FIELD_NUMBER: _ClassVar[int]
    url: str
    method: str
    headers: _containers.ScalarMap[str, str]
    status: str
    body_contains: str
    tls_verify: bool
    def __init__(self, url: _Optional[str] = ..., method: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., status: _Optional[str] = ..., body_contains: _Optional[str] = ..., tls_verify: bool = ...) -> None: ...

class TcpCheck(_message.Message):
    __slots__ = ("host", "port")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class GrpcCheck(_message.Message):
    __slots__ = ("host", "port", "service", "tls")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    service: str
    tls: bool
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ..., service: _Optional[str] = ..., tls: bool = ...) -> None: ...

class TtlCheck(_message.Message):
    __slots__ = ("ttl_ms",)
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    ttl_ms: int
    def __init__(self, ttl_ms: _Optional[int] = ...) -> None: ...

class Check(_message.Message):
    __slots__ = ("http", "tcp", "grpc", "ttl", "interval_ms", "timeout_ms", "failures_before_critical", "successes_before_passing", "initial", "deregister_critical_after_ms")
    HTTP_FIELD_NUMBER: _ClassVar[int]
    TCP_FIELD_NUMBER: _ClassVar[int]
    GRPC_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_BEFORE_CRITICAL_FIELD_NUMBER: _ClassVar[int]
    SUCCESSES_BEFORE_PASSING_FIELD_NUMBER: _ClassVar[int]
    INITIAL_FIELD_NUMBER: _ClassVar[int]
    DEREGISTER_CRITICAL_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    http: HttpCheck
    tcp: TcpCheck
    grpc: GrpcCheck
    ttl: TtlCheck
    interval_ms: int
    timeout_ms: int
    failures_before_critical: int
    successes_before_passing: int
    initial: State
    deregister_critical_after_ms: int
    def __init__(self, http: _Optional[_Union[HttpCheck, _Mapping]] = ..., tcp: _Optional[_Union[TcpCheck, _Mapping]] = ..., grpc: _Optional[_Union[GrpcCheck, _Mapping]] = ..., ttl: _Optional[_Union[TtlCheck, _Mapping]] = ..., interval_ms: _Optional[int] = ..., timeout_ms: _Optional[int] = ..., failures_before_critical: _Optional[int] = ..., successes_before_passing: _Optional[int] = ..., initial: _Optional[_Union[State, str]] = ..., deregister_critical_after_ms: _Optional[int] = ...) -> None: ...

class CheckResult(_message.Message):
    __slots__ = ("state", "note")
    STATE_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    state: State
    note: str
    def __init__(self, state: _Optional[_Union[State, str]] = ..., note: _Optional[str] = ...) -> None: ...

class Instance(_message.Message):
    __slots__ = ("service", "id", "address", "port", "ports", "metadata", "tags", "weight", "zone", "version", "state", "note", "checks", "healthy", "guarded", "create_revision", "mod_revision", "session", "check_results")
    class PortsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Port
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Port, _Mapping]] = ...) -> None: ...
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ChecksEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Check
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Check, _Mapping]] = ...) -> None: ...
    class CheckResultsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: CheckResult
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[CheckResult, _Mapping]] = ...) -> None: ...
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    GUARDED_FIELD_NUMBER: _ClassVar[int]
    CREATE_REVISION_FIELD_NUMBER: _ClassVar[int]
    MOD_REVISION_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    CHECK_RESULTS_FIELD_NUMBER: _ClassVar[int]
    service: str
    id: str
    address: str
    port: int
    ports: _containers.MessageMap[str, Port]
    metadata: _containers.ScalarMap[str, str]
    tags: _containers.RepeatedScalarFieldContainer[str]
    weight: int
    zone: str
    version: str
    state: State
    note: str
    checks: _containers.MessageMap[str, Check]
    healthy: bool
    guarded: bool
    create_revision: int
    mod_revision: int
    session: int
    check_results: _containers.MessageMap[str, CheckResult]
    def __init__(self, service: _Optional[str] = ..., id: _Optional[str] = ..., address: _Optional[str] = ..., port: _Optional[int] = ..., ports: _Optional[_Mapping[str, Port]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., tags: _Optional[_Iterable[str]] = ..., weight: _Optional[int] = ..., zone: _Optional[str] = ..., version: _Optional[str] = ..., state: _Optional[_Union[State, str]] = ..., note: _Optional[str] = ..., checks: _Optional[_Mapping[str, Check]] = ..., healthy: bool = ..., guarded: bool = ..., create_revision: _Optional[int] = ..., mod_revision: _Optional[int] = ..., session: _Optional[int] = ..., check_results: _Optional[_Mapping[str, CheckResult]] = ...) -> None: ...

class RegisterRequest(_message.Message):
    __slots__ = ("instance", "session", "ttl_ms", "disconnect_grace_ms", "keep_state", "request")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    DISCONNECT_GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    KEEP_STATE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    instance: Instance
    session: int
    ttl_ms: int
    disconnect_grace_ms: int
    keep_state: bool
    request: _common_pb2.RequestId
    def __init__(self, instance: _Optional[_Union[Instance, _Mapping]] = ..., session: _Optional[int] = ..., ttl_ms: _Optional[int] = ..., disconnect_grace_ms: _Optional[int] = ..., keep_state: bool = ..., request: _Optional[_Union[_common_pb2.RequestId, _Mapping]] = ...) -> None: ...

class RegisterResponse(_message.Message):
    __slots__ = ("header", "session", "ttl_ms")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    session: int
    ttl_ms: int
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., session: _Optional[int] = ..., ttl_ms: _Optional[int] = ...) -> None: ...

class DeregisterRequest(_message.Message):
    __slots__ = ("service", "id", "session", "request")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    service: str
    id: str
    session: int
    request: _common_pb2.RequestId
    def __init__(self, service: _Optional[str] = ..., id: _Optional[str] = ..., session: _Optional[int] = ..., request: _Optional[_Union[_common_pb2.RequestId, _Mapping]] = ...) -> None: ...

class DeregisterResponse(_message.Message):
    __slots__ = ("header", "session")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    session: int
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., session: _Optional[int] = ...) -> None: ...

class SetStateRequest(_message.Message):
    __slots__ = ("service", "id", "state", "note", "request")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    service: str
    id: str
    state: State
    note: str
    request: _common_pb2.RequestId
    def __init__(self, service: _Optional[str] = ..., id: _Optional[str] = ..., state: _Optional[_Union[State, str]] = ..., note: _Optional[str] = ..., request: _Optional[_Union[_common_pb2.RequestId, _Mapping]] = ...) -> None: ...

class SetStateResponse(_message.Message):
    __slots__ = ("header",)
    HEADER_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ...) -> None: ...

class RegistryListRequest(_message.Message):
    __slots__ = ("service", "healthy", "tag", "zone", "limit", "page_token", "local", "min_revision")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    service: str
    healthy: bool
    tag: str
    zone: str
    limit: int
    page_token: str
    local: bool
    min_revision: int
    def __init__(self, service: _Optional[str] = ..., healthy: bool = ..., tag: _Optional[str] = ..., zone: _Optional[str] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ..., local: bool = ..., min_revision: _Optional[int] = ...) -> None: ...

class ServiceSummary(_message.Message):
    __slots__ = ("name", "instances", "healthy")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    name: str
    instances: int
    healthy: int
    def __init__(self, name: _Optional[str] = ..., instances: _Optional[int] = ..., healthy: _Optional[int] = ...) -> None: ...

class RegistryListResponse(_message.Message):
    __slots__ = ("header", "revision", "services", "instances", "next_page_token")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    revision: int
    services: _containers.RepeatedCompositeFieldContainer[ServiceSummary]
    instances: _containers.RepeatedCompositeFieldContainer[Instance]
    next_page_token: str
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., revision: _Optional[int] = ..., services: _Optional[_Iterable[_Union[ServiceSummary, _Mapping]]] = ..., instances: _Optional[_Iterable[_Union[Instance, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RegistryWatchRequest(_message.Message):
    __slots__ = ("service", "healthy", "tag", "zone", "local", "min_revision")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    service: str
    healthy: bool
    tag: str
    zone: str
    local: bool
    min_revision: int
    def __init__(self, service: _Optional[str] = ..., healthy: bool = ..., tag: _Optional[str] = ..., zone: _Optional[str] = ..., local: bool = ..., min_revision: _Optional[int] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("type", "instance", "cause")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ADDED: _ClassVar[Change.Type]
        CHANGED: _ClassVar[Change.Type]
        REMOVED: _ClassVar[Change.Type]
    ADDED: Change.Type
    CHANGED: Change.Type
    REMOVED: Change.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    type: Change.Type
    instance: Instance
    cause: _common_pb2.Cause
    def __init__(self, type: _Optional[_Union[Change.Type, str]] = ..., instance: _Optional[_Union[Instance, _Mapping]] = ..., cause: _Optional[_Union[_common_pb2.Cause, str]] = ...) -> None: ...

class RegistryWatchResponse(_message.Message):
    __slots__ = ("header", "snapshot", "reset", "revision", "changes", "partial")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    snapshot: bool
    reset: bool
    revision: int
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    partial: bool
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., snapshot: bool = ..., reset: bool = ..., revision: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., partial: bool = ...) -> None: ...
