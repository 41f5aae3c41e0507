from coordinator_client.pb import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StatusRequest(_message.Message):
    __slots__ = ("digest",)
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    digest: bool
    def __init__(self, digest: bool = ...) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("header", "name", "version", "role", "leader_id", "leader_name", "term", "commit_index", "applied_index", "revision", "compacted_revision", "snapshot_index", "journal_size_bytes", "snapshot_size_bytes", "key_count", "session_count", "watch_count", "digest", "uptime_s", "state_size_bytes", "history_size_bytes", "state_size_bytes_max", "disk_free_bytes", "alarms")
    class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ROLE_UNSPECIFIED: _ClassVar[StatusResponse.Role]
        FOLLOWER: _ClassVar[StatusResponse.Role]
        CANDIDATE: _ClassVar[StatusResponse.Role]
        LEADER: _ClassVar[StatusResponse.Role]
        LEARNER: _ClassVar[StatusResponse.Role]
    ROLE_UNSPECIFIED: StatusResponse.Role
    FOLLOWER: StatusResponse.Role
    CANDIDATE: StatusResponse.Role
    LEADER: StatusResponse.Role
    LEARNER: StatusResponse.Role
    HEADER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    LEADER_ID_FIELD_NUMBER: _ClassVar[int]
    LEADER_NAME_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    COMMIT_INDEX_FIELD_NUMBER: _ClassVar[int]
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    COMPACTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_INDEX_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    KEY_COUNT_FIELD_NUMBER: _ClassVar[int]
    SESSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    WATCH_COUNT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    UPTIME_S_FIELD_NUMBER: _ClassVar[int]
    STATE_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    HISTORY_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STATE_SIZE_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    name: str
    version: str
    role: StatusResponse.Role
    leader_id: int
    leader_name: str
    term: int
    commit_index: int
    applied_index: int
    revision: int
    compacted_revision: int
    snapshot_index: int
    journal_size_bytes: int
    snapshot_size_bytes: int
    key_count: int
    session_count: int
    watch_count: int
    digest: str
    uptime_s: float
    state_size_bytes: int
    history_size_bytes: int
    state_size_bytes_max: int
    disk_free_bytes: int
    alarms: _containers.RepeatedCompositeFieldContainer[Alarm]
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., name: _Optional[str] = ..., version: _Optional[str] = ..., role: _Optional[_Union[StatusResponse.Role, str]] = ..., leader_id: _Optional[int] = ..., leader_name: _Optional[str] = ..., term: _Optional[int] = ..., commit_index: _Optional[int] = ..., applied_index: _Optional[int] = ..., revision: _Optional[int] = ..., compacted_revision: _Optional[int] = ..., snapshot_index: _Optional[int] = ..., journal_size_bytes: _Optional[int] = ..., snapshot_size_bytes: _Optional[int] = ..., key_count: _Optional[int] = ..., session_count: _Optional[int] = ..., watch_count: _Optional[int] = ..., digest: _Optional[str] = ..., uptime_s: _Optional[float] = ..., state_size_bytes: _Optional[int] = ..., history_size_bytes: _Optional[int] = ..., state_size_bytes_max: _Optional[int] = ..., disk_free_bytes: _Optional[int] = ..., alarms: _Optional[_Iterable[_Union[Alarm, _Mapping]]] = ...) -> None: ...

class Alarm(_message.Message):
    __slots__ = ("kind", "member_id", "message")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Alarm.Kind]
        DIVERGED: _ClassVar[Alarm.Kind]
        DISAGREEMENT: _ClassVar[Alarm.Kind]
        SPACE_QUOTA: _ClassVar[Alarm.Kind]
        DISK: _ClassVar[Alarm.Kind]
    KIND_UNSPECIFIED: Alarm.Kind
    DIVERGED: Alarm.Kind
    DISAGREEMENT: Alarm.Kind
    SPACE_QUOTA: Alarm.Kind
    DISK: Alarm.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    kind: Alarm.Kind
    member_id: int
    message: str
    def __init__(self, kind: _Optional[_Union[Alarm.Kind, str]] = ..., member_id: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class MemberListRequest(_message.Message):
    __slots__ = ("linearizable", "lag")
    LINEARIZABLE_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    linearizable: bool
    lag: bool
    def __init__(self, linearizable: bool = ..., lag: bool = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("id", "name", "peer_address", "client_address", "leader", "connected", "voter", "lag")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    VOTER_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    peer_address: str
    client_address: str
    leader: bool
    connected: bool
    voter: bool
    lag: int
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., peer_address: _Optional[str] = ..., client_address: _Optional[str] = ..., leader: bool = ..., connected: bool = ..., voter: bool = ..., lag: _Optional[int] = ...) -> None: ...

class MemberListResponse(_message.Message):
    __slots__ = ("header", "members")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    members: _containers.RepeatedCompositeFieldContainer[Member]
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ...) -> None: ...

class MemberAddRequest(_message.Message):
    __slots__ = ("name", "peer_address")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    name: str
    peer_address: str
    def __init__(self, name: _Optional[str] = ..., peer_address: _Optional[str] = ...) -> None: ...

class MemberAddResponse(_message.Message):
    __slots__ = ("header", "member")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    member: Member
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., member: _Optional[_Union[Member, _Mapping]] = ...) -> None: ...

class MemberPromoteRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class MemberPromoteResponse(_message.Message):
    __slots__ = ("header", "member")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    member: Member
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., member: _Optional[_Union[Member, _Mapping]] = ...) -> None: ...

class MemberRemoveRequest(_message.Message):
    __slots__ = ("id", "force")
    ID_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    id: int
    force: bool
    def __init__(self, id: _Optional[int] = ..., force: bool = ...) -> None: ...

class MemberRemoveResponse(_message.Message):
    __slots__ = ("header",)
    HEADER_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ...) -> None: ...

class MemberUpdateAddressRequest(_message.Message):
    __slots__ = ("id", "peer_address")
    ID_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    id: int
    peer_address: str
    def __init__(self, id: _Optional[int] = ..., peer_address: _Optional[str] = ...) -> None: ...

class MemberUpdateAddressResponse(_message.Message):
    __slots__ = ("header", "member")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    member: Member
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., member: _Optional[_Union[Member, _Mapping]] = ...) -> None: ...

class TransferLeadershipRequest(_message.Message):
    __slots__ = ("target_id",)
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    target_id: int
    def __init__(self, target_id: _Optional[int] = ...) -> None: ...

class TransferLeadershipResponse(_message.Message):
    __slots__ = ("header", "leader_id", "leader_name")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    LEADER_ID_FIELD_NUMBER: _ClassVar[int]
    LEADER_NAME_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    leader_id: int
    leader_name: str
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., leader_id: _Optional[int] = ..., leader_name: _Optional[str] = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class JoinResponse(_message.Message):
    __slots__ = ("header", "member_id", "cluster_key", "members")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_KEY_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    member_id: int
    cluster_key: int
    members: _containers.RepeatedCompositeFieldContainer[Member]
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., member_id: _Optional[int] = ..., cluster_key: _Optional[int] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ...) -> None: ...

class SnapshotSaveRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SnapshotSaveResponse(_message.Message):
    __slots__ = ("about", "chunk")
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    about: SnapshotAbout
    chunk: bytes
    def __init__(self, about: _Optional[_Union[SnapshotAbout, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class SnapshotAbout(_message.Message):
    __slots__ = ("header", "index", "term", "revision", "size_bytes")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    header: _common_pb2.ResponseHeader
    index: int
    term: int
    revision: int
    size_bytes: int
    def __init__(self, header: _Optional[_Union[_common_pb2.ResponseHeader, _Mapping]] = ..., index: _Optional[int] = ..., term: _Optional[int] = ..., revision: _Optional[int] = ..., size_bytes: _Optional[int] = ...) -> None: ...
