"""Every limit and timeout of the server, with its unit in its name, and where it can be set.

Each field of `Config`, `Limits` and `Timing` can be given in a TOML file (tables [limits] and
[timing]), as an environment variable (COORDINATOR_NAME, COORDINATOR_LIMITS_NAME,
COORDINATOR_TIMING_NAME) and, for `Config`, as a flag of `coordinator serve`. A flag wins over the
environment, the environment over the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

MAY_BE_ZERO = frozenset(
    {
        "disk_free_bytes_min",
        "history_age_ms_max",
        "digest_check_ms",
        "scrub_pause_ms",
        "guard_window_ms",
        "dns_ttl_s",
        "dns_negative_ttl_s",
    }
)
"""Settings that 0 turns off."""


@dataclass(frozen=True)
class Limits:
    """What a client, a peer or the disk can make this node hold. A request beyond a limit is refused, never cut."""

    request_size_bytes_max: int = 3 * MIB // 2
    """Of one request message, as in etcd."""
    key_size_bytes_max: int = 8 * KIB
    txn_ops_max: int = 128
    """Operations and compares in a transaction, nested ones included, as in etcd."""
    txn_depth_max: int = 8
    range_reply_size_bytes_max: int = 3 * MIB
    """A range reply ends early, with `more` set, at this size. Less than the 4 MiB that gRPC clients accept."""
    encodings_size_bytes_max: int = 8 * MIB
    """Of encoded keys that are kept for ranges to come."""
    txn_reply_size_bytes_max: int = 14 * MIB
    """Of the reads and previous keys in the reply to one transaction or delete."""
    etcd_reply_size_bytes_max: int = 48 * MIB
    """Of the keys in the reply to one range of etcd's API, which is never cut."""
    watches_per_stream_max: int = 10_000
    watches_max: int = 100_000
    watch_backlog_batches_max: int = 1_000
    """A watch that is further behind lets go of its queue and replays from history."""
    watch_message_size_bytes_max: int = 1 * MIB
    """Events are gathered into messages of about this size."""
    sessions_max: int = 100_000
    session_ttl_ms_min: int = 500
    session_ttl_ms_max: int = 86_400_000
    session_metadata_size_bytes_max: int = 4 * KIB
    keep_alive_ids_max: int = 10_000
    """Session ids in one keep-alive message."""
    pipeline_calls_max: int = 4_096
    """Calls under way on one pipeline; with more, no more is read from it until some have ended."""
    pipeline_size_bytes_max: int = 16 * MIB
    """Likewise of their requests, and of answers that wait to be sent, which are made as they are taken."""
    sequence_parents_max: int = 100_000
    """Parents that a sequence number was ever counted for."""
    bundle_size_bytes_max: int = 1 * MIB
    """A bundle closes at this size, or holds one larger command."""
    proposals_max: int = 10_000
    """Proposals of this node's clients whose outcome is open."""
    proposals_size_bytes_max: int = 64 * MIB
    streams_max: int = 20_000
    """Concurrent calls and streams of all clients."""
    connections_max: int = 10_000
    """Connections of clients; further ones are closed."""
    connection_unread_bytes_max: int = 64 * MIB
    """What may wait for one client to take it; one that takes nothing of more is cut off after `client_stall_ms`."""
    history_revisions_max: int = 100_000
    """Older history is compacted automatically."""
    history_size_bytes_max: int = 256 * MIB
    """Likewise, with the old versions of keys that it keeps."""
    state_size_bytes_max: int = 2 * GIB
    """Of keys, history, sessions and results, counted as in `state.tally`; beyond, writes that add are refused."""
    disk_free_bytes_min: int = 128 * MIB
    """Such writes are refused, too, while a member's data folder has less left; 0: nobody looks."""
    peer_frame_size_bytes_max: int = 8 * MIB
    """Of one message between members; more than two of the largest requests."""
    peer_send_window_bytes_max: int = 16 * MIB
    """Bytes on their way to one member before sending waits."""
    snapshot_bytes_per_s_max: int = 64 * MIB
    """Sent to one member that is too far behind for the log, per second."""
    snapshot_saves_max: int = 2
    """Snapshots that clients fetch from this node at once."""
    journal_size_bytes_max: int = 64 * MIB
    """A snapshot is taken, and the journal cut, when it grows beyond this."""
    guard_share_percent: int = 50
    """A service that loses more than this share of its instances within the guard's window keeps them for a while."""
    guard_instances_min: int = 4
    """Services with fewer instances are not guarded."""
    dns_udp_size_bytes_max: int = 1_232
    """Of one datagram, which then crosses nearly every network in one piece; the rest of an answer is had over TCP."""
    dns_large_answers_per_s_max: int = 100
    """Answers of more than 512 bytes over UDP to one network of clients, a /24 or /56."""
    dns_tcp_connections_max: int = 256
    http_connections_max: int = 1_000
    dns_forwards_max: int = 256
    """Questions that resolvers are being asked for clients."""
    checks_max: int = 20_000
    """Health checks of all instances; those beyond are critical."""
    checks_per_instance_max: int = 16
    checks_concurrent_max: int = 256
    """Runs of health checks that are under way on one node; others wait."""
    check_interval_ms_min: int = 1_000
    """From one run of a health check to the next."""
    check_body_bytes_max: int = 64 * KIB
    """What is read of the answer to a health check."""


@dataclass(frozen=True)
class Timing:
    """Timeouts and periods."""

    heartbeat_ms: int = 100
    election_timeout_ms_min: int = 600
    election_timeout_ms_max: int = 900
    tick_ms: int = 20
    """Granularity of consensus deadlines. A proposal never waits for a tick."""
    request_timeout_ms_default: int = 10_000
    """Of a request whose client set no deadline."""
    history_age_ms_max: int = 86_400_000
    """Older history is compacted automatically; 0: whatever its age."""
    digest_check_ms: int = 30_000
    """How often members compare what their states come to, if anything changed; 0: never."""
    scrub_pause_ms: int = 250
    """Between two looks at some 1,000 records each, to see that memory holds what was applied; 0: never."""
    session_check_ms: int = 50
    """How often the leader looks for sessions whose deadline has passed."""
    guard_window_ms: int = 30_000
    """Within how long a service must lose its instances to be guarded, and how long they are kept then; 0: never."""
    watch_progress_ms: int = 10_000
    """How often an idle watch that asked for it is told its progress."""
    etcd_progress_ms: int = 600_000
    """Likewise, of etcd's API."""
    client_greeting_ms: int = 10_000
    """How long a client that connected may take until it has begun to speak HTTP/2, encryption included."""
    client_stall_ms: int = 30_000
    """How long a client for whom `connection_unread_bytes_max` wait may take none of them, or send a message that it
    began."""
    drain_ms: int = 2_000
    """How long requests may finish when the node stops; a leader first takes up to half of it to hand over."""
    snapshot_stall_ms: int = 60_000
    """How long a client that fetches a snapshot may take for one piece of it."""
    join_ms: int = 30_000
    """How long a new member looks for a running one that tells it about the cluster."""
    http_request_ms: int = 10_000
    """How long a client over HTTP may take for its first request, and for the body of each that is no stream."""
    dns_ttl_s: int = 0
    """How long resolvers may keep what DNS told them; 0: not at all."""
    dns_negative_ttl_s: int = 0
    """Likewise, that there is nothing."""
    dns_tcp_idle_ms: int = 10_000
    """A DNS connection on which nothing comes, or nothing is taken, for so long is closed."""
    dns_forward_ms: int = 2_000
    """How long a resolver may take before the next one is asked."""
    checks_session_ttl_ms: int = 5_000
    """How long health checks of a node that died wait for another one."""


@dataclass(frozen=True)
class Member:
    """One member as the operator names it: `name=host:port`, the address being that for peers."""

    name: str
    peer_address: str


@dataclass(frozen=True)
class Config:
    """How one node is started. The defaults run a cluster of one on loopback."""

    name: str = "n1"
    data_dir: str = "coordinator-data"
    client_address: str = "127.0.0.1:2379"
    peer_address: str = "127.0.0.1:2380"
    cluster: tuple[Member, ...] = ()
    """The first members, this one included; empty: this node alone. Only looked at while `data_dir` is empty."""
    join: tuple[str, ...] = ()
    """Client addresses of a running cluster to which this node was added as a member. Likewise."""
    cluster_token: str = "coordinator"
    """Keeps clusters with the same member names apart; the same on all members."""
    insecure: bool = False
    """Allow listening on addresses other than loopback, without encryption or authentication."""
    grpc_host: str = "front"
    """What serves gRPC: `front`, HTTP/2 of our own, or `grpcio`, the server of that library."""
    http_address: str = ""
    """Where HTTP is answered: etcd's JSON gateway, and whether this node is well; empty: nowhere."""
    dns_address: str = ""
    """Where DNS is answered, over UDP and TCP; empty: nowhere."""
    dns_domain: str = "coordinator."
    """The domain that services are in."""
    dns_forwarders: tuple[str, ...] = ()
    """Addresses of resolvers that are asked for names outside of it; empty: those are refused."""
    checks_allowed_networks: tuple[str, ...] = ()
    """Networks, `10.0.0.0/8`, that health checks may connect to; empty: all."""
    log_level: str = "info"
    log_format: str = "text"
    """`text` or `json`."""
    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(default_factory=Timing)
