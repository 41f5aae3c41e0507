"""Client for Coordinator: keys, watches, sessions, registration and discovery. This is the blocking face.

>>> import coordinator_client
>>> with coordinator_client.connect("127.0.0.1:2379,127.0.0.1:2389,127.0.0.1:2399") as client:
...     client.put("/greeting", "hello")
...     print(client.get("/greeting").text)

`coordinator_client.aio` offers the same names for asyncio. docs/client.md is the guide.
"""

from coordinator_client._sync.barrier import Barrier, DoubleBarrier
from coordinator_client._sync.cache import Cache, CacheChanges
from coordinator_client._sync.client import Client, connect
from coordinator_client._sync.counter import Counter
from coordinator_client._sync.discovery import Changes, ServiceView
from coordinator_client._sync.election import Election, Leaders
from coordinator_client._sync.lock import Lock, RWLock
from coordinator_client._sync.queues import Claim, PriorityQueue, Queue
from coordinator_client._sync.registration import Registration
from coordinator_client._sync.semaphore import Semaphore
from coordinator_client._sync.session import Session
from coordinator_client._sync.txn import Txn
from coordinator_client._sync.watch import Watch
from coordinator_client.balancing import (
    Balancer,
    Call,
    ConsistentHash,
    Ejection,
    LeastOutstanding,
    Policy,
    PowerOfTwo,
    RoundRobin,
    Weighted,
    ZoneFirst,
)
from coordinator_client.checks import (
    Check,
    CheckResult,
    GrpcCheck,
    HttpCheck,
    TcpCheck,
    TtlCheck,
)
from coordinator_client.compares import Compare, Key, Prefix, Span
from coordinator_client.copies import CacheChange
from coordinator_client.errors import (
    AlreadyExists,
    Closed,
    ClusterMismatch,
    Compacted,
    CoordinatorError,
    DeadlineExceeded,
    FenceStale,
    FutureRevision,
    InvalidArgument,
    LimitExceeded,
    NoInstance,
    NotFound,
    OutcomeUnknown,
    ReplyTooLarge,
    RequestRefused,
    SessionExists,
    SessionLost,
    SessionNotFound,
    Unavailable,
)
from coordinator_client.grpc_channels.blocking_channel import grpc_channel
from coordinator_client.instances import Instance, InstanceState
from coordinator_client.items import QueueItem
from coordinator_client.model import (
    Alarm,
    Cause,
    DeleteResult,
    Event,
    EventBatch,
    EventType,
    KeyValue,
    Member,
    MemberStatus,
    PutResult,
    RangeResult,
    SavedSnapshot,
    SessionRecord,
    TxnResult,
)
from coordinator_client.operations import Delete, Get, Nested, Operation, Put, Range
from coordinator_client.turns import Leader
from coordinator_client.views import Change, ChangeType

__all__ = [
    "Alarm",
    "AlreadyExists",
    "Balancer",
    "Barrier",
    "Cache",
    "CacheChange",
    "CacheChanges",
    "Call",
    "Cause",
    "Change",
    "ChangeType",
    "Changes",
    "Check",
    "CheckResult",
    "Claim",
    "Client",
    "Closed",
    "ClusterMismatch",
    "Compacted",
    "Compare",
    "ConsistentHash",
    "CoordinatorError",
    "Counter",
    "DeadlineExceeded",
    "Delete",
    "DeleteResult",
    "DoubleBarrier",
    "Ejection",
    "Election",
    "Event",
    "EventBatch",
    "EventType",
    "FenceStale",
    "FutureRevision",
    "Get",
    "GrpcCheck",
    "HttpCheck",
    "Instance",
    "InstanceState",
    "InvalidArgument",
    "Key",
    "KeyValue",
    "Leader",
    "Leaders",
    "LeastOutstanding",
    "LimitExceeded",
    "Lock",
    "Member",
    "MemberStatus",
    "Nested",
    "NoInstance",
    "NotFound",
    "Operation",
    "OutcomeUnknown",
    "Policy",
    "PowerOfTwo",
    "Prefix",
    "PriorityQueue",
    "Put",
    "PutResult",
    "Queue",
    "QueueItem",
    "RWLock",
    "Range",
    "RangeResult",
    "Registration",
    "ReplyTooLarge",
    "RequestRefused",
    "RoundRobin",
    "SavedSnapshot",
    "Semaphore",
    "ServiceView",
    "Session",
    "SessionExists",
    "SessionLost",
    "SessionNotFound",
    "SessionRecord",
    "Span",
    "TcpCheck",
    "TtlCheck",
    "Txn",
    "TxnResult",
    "Unavailable",
    "Watch",
    "Weighted",
    "ZoneFirst",
    "connect",
    "grpc_channel",
]
