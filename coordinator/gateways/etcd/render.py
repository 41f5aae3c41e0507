"""From results of the state machine to messages of etcd's API."""

from __future__ import annotations

from coordinator.gateways.etcd.pb import mvcc_pb2
from coordinator.node.interface import Node
from coordinator.state.model import KeyValue


def header(node: Node, revision: int | None = None) -> mvcc_pb2.ResponseHeader:
    """Returns the header of a reply; `revision` None: the store's current one."""
    return mvcc_pb2.ResponseHeader(
        cluster_id=node.state.cluster_id,
        member_id=node.member.id,
        revision=node.state.revision if revision is None else revision,
        raft_term=node.consensus_status.term,
    )


def key_value(kv: KeyValue) -> mvcc_pb2.KeyValue:
    """Returns the message of a key."""
    return mvcc_pb2.KeyValue(
        key=kv.key,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        version=kv.version,
        value=kv.value,
        lease=kv.session,
    )
