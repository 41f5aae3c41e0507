"""The service `v3electionpb.Election`: the oldest key under a name is the leader's, its value what it proclaims."""

from __future__ import annotations

from coordinator.errors import RequestError, Status
from coordinator.gateways.etcd import errors, render
from coordinator.gateways.etcd.lines import (
    as_from_a_client,
    leave,
    leaving_on_failure,
    prefix_of,
    propose,
    stand_in_line,
    wait_for_turn,
)
from coordinator.gateways.etcd.pb import concurrency_pb2 as pb
from coordinator.node.interface import Node
from coordinator.node.watches import Compacted, Filter
from coordinator.rpc import Bidi, Call, Service, Stream, Unary, deadline_of
from coordinator.state.commands import (
    Compare,
    Operator,
    Order,
    Put,
    Range,
    Selector,
    Target,
    Txn,
    Write,
)
from coordinator.state.model import KeyValue
from coordinator.state.results import RangeResult, TxnResult
from coordinator.state.view import with_prefix

ObserveStream = Stream[pb.LeaderRequest, pb.LeaderResponse]


def _not_leader() -> RequestError:
    return RequestError(Status.UNKNOWN, "ETCD", "election: not leader")


def _no_leader() -> RequestError:
    return RequestError(Status.UNKNOWN, "ETCD", "election: no leader")


class ElectionService:
    """Elections among those who stand in line for a name."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def service(self) -> Service:
        """Returns the methods for a host."""
        return as_from_a_client(
            "v3electionpb.Election",
            (
                Unary("Campaign", pb.CampaignRequest, pb.CampaignResponse, self.campaign),
                Unary("Proclaim", pb.ProclaimRequest, pb.ProclaimResponse, self.proclaim),
                Unary("Leader", pb.LeaderRequest, pb.LeaderResponse, self.leader),
                Bidi("Observe", pb.LeaderRequest, pb.LeaderResponse, self.observe),
                Unary("Resign", pb.ResignRequest, pb.ResignResponse, self.resign),
            ),
        )

    def _deadline(self, call: Call) -> float:
        return deadline_of(call, self._node.timing.request_timeout_ms_default / 1000)

    async def campaign(self, call: Call, request: pb.CampaignRequest) -> pb.CampaignResponse:
        """Returns when the caller leads."""
        node, deadline = self._node, self._deadline(call)
        kv, lease, revision = await stand_in_line(
            node, request.name, request.lease, request.value, deadline
        )
        leader = pb.LeaderKey(name=request.name, key=kv.key, rev=kv.create_revision, lease=lease)
        async with leaving_on_failure(node, kv):
            if kv.value != request.value:
                # It stood in line already, for something else.
                await self._proclaim(leader, request.value, deadline)
            leads = await wait_for_turn(node, request.name, kv)
        if not leads:
            raise errors.lease_not_found()
        return pb.CampaignResponse(header=render.header(node, revision), leader=leader)

    async def proclaim(self, call: Call, request: pb.ProclaimRequest) -> pb.ProclaimResponse:
        """Changes what the leader proclaims."""
        _check_leader(request.leader)
        revision = await self._proclaim(request.leader, request.value, self._deadline(call))
        return pb.ProclaimResponse(header=render.header(self._node, revision))

    async def _proclaim(self, leader: pb.LeaderKey, value: bytes, deadline: float) -> int:
        same = Compare(Selector(leader.key), Operator.EQUAL, Target.CREATE_REVISION, leader.rev)
        put = Put(leader.key, value, leader.lease)
        outcome = await propose(self._node, Write(Txn((same,), (put,))), deadline)
        assert isinstance(outcome.result, TxnResult)
        if not outcome.result.succeeded:
            raise _not_leader()
        return outcome.revision

    async def leader(self, call: Call, request: pb.LeaderRequest) -> pb.LeaderResponse:
        """Tells who leads."""
        node = self._node
        await node.read(local=False, min_revision=0, deadline=self._deadline(call))
        kv = self._leader(request.name)
        if kv is None:
            raise _no_leader()
        return pb.LeaderResponse(header=render.header(node), kv=render.key_value(kv))

    def _leader(self, name: bytes) -> KeyValue | None:
        result = self._node.state.range(
            Range(_everyone(name), limit=1, order=Order.CREATE_REVISION)
        )
        assert isinstance(result, RangeResult), "the newest revision can be read"
        return result.kvs[0] if result.kvs else None

    async def observe(self, stream: ObserveStream) -> None:
        """Tells who leads and what it proclaims, each time that either changes."""
        node = self._node
        request = await stream.receive()
        if request is None:
            return
        await node.read(local=False, min_revision=0, deadline=self._deadline(stream))
        watches = node.open_watch_stream()
        try:
            watches.create(0, Filter(_everyone(request.name)), node.state.revision + 1)
            told: KeyValue | None = None
            while True:
                now = self._leader(request.name)
                if now is not None and now != told:
                    told = now
                    await stream.send(
                        pb.LeaderResponse(header=render.header(node), kv=render.key_value(now))
                    )
                    continue
                await watches.wait()
                taken = watches.take()
                if taken is not None and isinstance(taken[1], Compacted):
                    watches.create(0, Filter(_everyone(request.name)), node.state.revision + 1)
        finally:
            watches.close()

    async def resign(self, call: Call, request: pb.ResignRequest) -> pb.ResignResponse:
        """Lets the next one lead."""
        _check_leader(request.leader)
        leader = request.leader
        outcome = await leave(self._node, leader.key, leader.rev, self._deadline(call))
        return pb.ResignResponse(header=render.header(self._node, outcome.revision))


def _everyone(name: bytes) -> Selector:
    prefix = prefix_of(name)
    return with_prefix(prefix)


def _check_leader(leader: pb.LeaderKey) -> None:
    if not leader.key:
        raise RequestError(Status.UNKNOWN, "ETCD", '"leader" field must be provided')
