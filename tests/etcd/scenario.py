"""One scripted run through etcd's API: every method, error and corner, as calls that are made one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coordinator.gateways.etcd.pb import (
    auth_pb2,
    cluster_pb2,
    concurrency_pb2,
    kv_pb2,
    lease_pb2,
    maintenance_pb2,
)
from tests.etcd.requests import Call, compare, delete, get, put, txn

KV, LEASE = "etcdserverpb.KV", "etcdserverpb.Lease"
CLUSTER, MAINTENANCE, AUTH = (
    "etcdserverpb.Cluster",
    "etcdserverpb.Maintenance",
    "etcdserverpb.Auth",
)
LOCK, ELECTION = "v3lockpb.Lock", "v3electionpb.Election"
TTL_S_MAX = 9_000_000_000


def calls() -> Iterator[Call]:
    """Yields the calls, in order."""
    for part in (puts, ranges, deletes, compares, transactions, leases, compaction, limits):
        yield from part()
    for part in (operators, users, locks, elections, unknown, quirks):
        yield from part()


def puts() -> Iterator[Call]:
    def call(name: str, request: kv_pb2.PutRequest) -> Call:
        return Call(f"put: {name}", f"{KV}/Put", request)

    yield call("first", put(b"a", b"1"))
    yield call("again, with the one before", put(b"a", b"2", prev_kv=True))
    yield call("new, with the one before", put(b"b", b"1", prev_kv=True))
    yield call("empty value", put(b"c"))
    yield call("binary", put(b"\0\xff", b"\0"))
    yield call("no key", put(b"", b"1"))
    yield call("value kept", put(b"a", ignore_value=True, prev_kv=True))
    yield call("value kept, and given", put(b"a", b"3", ignore_value=True))
    yield call("value kept, no key there", put(b"none", ignore_value=True))
    yield call("lease kept", put(b"a", b"3", ignore_lease=True))
    yield call("lease kept, and given", put(b"a", b"3", ignore_lease=True, lease=5))
    yield call("lease kept, no key there", put(b"none", b"3", ignore_lease=True))
    yield call("both kept", put(b"a", ignore_lease=True, ignore_value=True))
    yield call("lease that is not there", put(b"a", b"3", lease=404))
    yield call(
        "value kept, lease not there, no key there", put(b"none", ignore_value=True, lease=9)
    )
    yield call("large", put(b"large", b"x" * 1_000_000))
    yield call("too large", put(b"large", b"x" * 1_600_000))


def ranges() -> Iterator[Call]:
    def call(name: str, request: kv_pb2.RangeRequest) -> Call:
        return Call(f"range: {name}", f"{KV}/Range", request)

    for key, value in ((b"k1", b"c"), (b"k2", b"b"), (b"k3", b"a"), (b"k2", b"d"), (b"k1", b"e")):
        yield Call(f"range: {key!r} there", f"{KV}/Put", put(key, value))
    yield call("no key", get(b""))
    yield call("no key, but an end", get(b"", b"k"))
    yield call("one", get(b"k1"))
    yield call("one that is not there", get(b"k9"))
    yield call("some", get(b"k1", b"k3"))
    yield call("from a key on", get(b"k2", b"\0", keys_only=True))
    yield call("all", get(b"\0", b"\0", keys_only=True))
    yield call("end before the key", get(b"k3", b"k1"))
    yield call("end is the key", get(b"k1", b"k1"))
    for limit in (-1, 0, 1, 2, 3, 4):
        yield call(f"limit {limit}", get(b"k", b"l", limit=limit))
        yield call(f"one, limit {limit}", get(b"k1", limit=limit))
    for order in ("ASCEND", "DESCEND"):
        for target in ("KEY", "VERSION", "CREATE", "MOD", "VALUE"):
            for limit in (0, 2):
                name = f"{order} by {target}, limit {limit}"
                sort = {"sort_order": order, "sort_target": target}
                yield call(name, get(b"k", b"l", limit=limit, **sort))
    for field in (
        "min_mod_revision",
        "max_mod_revision",
        "min_create_revision",
        "max_create_revision",
    ):
        for revision in (1, 9, 10, 11, 12, 13, 99):
            yield call(f"{field} {revision}", get(b"k", b"l", **{field: revision}))
        yield call(f"{field}, limit 1", get(b"k", b"l", limit=1, **{field: 11}))
        yield call(f"{field}, counted", get(b"k", b"l", count_only=True, **{field: 11}))
    yield call("keys only", get(b"k", b"l", keys_only=True))
    yield call("count only", get(b"k", b"l", count_only=True))
    yield call("count only, limit", get(b"k", b"l", count_only=True, limit=1))
    yield call("count and keys only", get(b"k", b"l", count_only=True, keys_only=True))
    yield call("serializable", get(b"k", b"l", serializable=True))
    for revision in (-1, 1, 2, 10, 12, 13):
        yield call(f"at {revision}", get(b"k", b"l", revision=revision))
    yield call("in the future", get(b"k", revision=1_000))


def deletes() -> Iterator[Call]:
    def call(name: str, request: kv_pb2.DeleteRangeRequest) -> Call:
        return Call(f"delete: {name}", f"{KV}/DeleteRange", request)

    yield call("no key", delete(b""))
    yield call("one", delete(b"k3"))
    yield call("one that is gone", delete(b"k3"))
    yield call("none in a range", delete(b"x", b"y", prev_kv=True))
    yield call("end before the key", delete(b"l", b"k"))
    yield call("some, with what was there", delete(b"k", b"l", prev_kv=True))
    yield Call("delete: what is gone", f"{KV}/Range", get(b"k", b"l"))
    yield Call("delete: what was there", f"{KV}/Range", get(b"k", b"l", revision=12))
    yield Call("delete: there again", f"{KV}/Put", put(b"k1", b"new"))
    yield Call("delete: versions begin anew", f"{KV}/Range", get(b"k1"))


def compares() -> Iterator[Call]:
    operands: dict[str, tuple[str, tuple[Any, ...]]] = {
        "VERSION": ("version", (0, 1, 3, 9)),
        "CREATE": ("create_revision", (0, 2, 9)),
        "MOD": ("mod_revision", (0, 6, 9)),
        "VALUE": ("value", (b"", b"2", b"3", b"9")),
        "LEASE": ("lease", (0, 7)),
    }
    for target, (field, values) in operands.items():
        for result in ("EQUAL", "GREATER", "LESS", "NOT_EQUAL"):
            for value in values:
                for key, end in ((b"a", b""), (b"none", b""), (b"a", b"d"), (b"y", b"z")):
                    condition = compare(key, target, result, **{field: value}, range_end=end)
                    name = f"compare: {key!r} to {end!r}, {target} {result} {value!r}"
                    yield Call(name, f"{KV}/Txn", txn((condition,)))
    odd = compare(b"a", "VERSION", "EQUAL", mod_revision=3)
    yield Call("compare: operand of another target", f"{KV}/Txn", txn((odd,)))
    yield Call("compare: no operand", f"{KV}/Txn", txn((compare(b"a", "VALUE", "EQUAL"),)))
    yield Call("compare: no key", f"{KV}/Txn", txn((compare(b"", "VALUE", "EQUAL"),)))
    unknown_result = kv_pb2.Compare.FromString(b"\x08\x63\x1a\x01a")
    yield Call("compare: unknown result", f"{KV}/Txn", txn((unknown_result,)))
    for result in ("EQUAL", "GREATER", "LESS", "NOT_EQUAL"):
        unknown_target = kv_pb2.Compare.FromString(b"\x10\x63\x1a\x01a")
        unknown_target.MergeFrom(compare(b"", "VERSION", result))
        yield Call(f"compare: unknown target, {result}", f"{KV}/Txn", txn((unknown_target,)))


def transactions() -> Iterator[Call]:
    def call(name: str, request: kv_pb2.TxnRequest) -> Call:
        return Call(f"txn: {name}", f"{KV}/Txn", request)

    holds, fails = (
        compare(b"a", "VERSION", "GREATER", version=0),
        compare(b"a", "VERSION", "EQUAL", version=0),
    )
    yield call("empty", txn())
    yield call("only reads", txn((), (get(b"a"), get(b"none"))))
    yield call("only reads, as they are here", txn((), (get(b"a", serializable=True),)))
    yield call("success", txn((holds,), (put(b"t", b"1"), get(b"t")), (put(b"t", b"2"),)))
    yield call("failure", txn((fails,), (put(b"t", b"1"),), (put(b"t", b"2", prev_kv=True),)))
    yield call("one of two fails", txn((holds, fails), (), (get(b"t"),)))
    yield call("reads before and after", txn((), (get(b"t"), put(b"t", b"3"), get(b"t"))))
    yield call("writes nothing", txn((), (delete(b"none"), get(b"t"))))
    yield call("deletes twice", txn((), (delete(b"t"), delete(b"t", b"u"), get(b"t"))))
    yield call("nothing in it", kv_pb2.TxnRequest(success=[kv_pb2.RequestOp()]))
    yield call("same key twice", txn((), (put(b"t"), put(b"t"))))
    yield call("same key in both branches", txn((holds,), (put(b"t"),), (put(b"t"),)))
    yield call("put and delete", txn((), (put(b"t"), delete(b"s", b"u"))))
    yield call("put outside of the deleted", txn((), (put(b"u"), delete(b"s", b"u"))))
    inner = txn((fails,), (put(b"t", b"in"),), (put(b"t", b"out"),))
    yield call("nested", txn((), (inner, get(b"t"))))
    yield call("nested, same key", txn((), (put(b"t"), inner)))
    yield call("nested, same key twice", txn((), (inner, inner)))
    yield call("nested, key deleted outside", txn((), (delete(b"t"), inner)))
    seen = txn((compare(b"new", "VERSION", "EQUAL", version=0),), (put(b"n1"),), (put(b"n2"),))
    yield call("nested compares see what was there", txn((), (put(b"new"), seen)))
    deep = inner
    for _ in range(5):
        deep = txn((), (deep, get(b"t")))
    yield call("nested deeply", deep)
    yield call("bad range inside", txn((), (get(b""),)))
    yield call("bad put inside", txn((), (), (put(b""),)))
    yield call("bad delete inside", txn((), (delete(b""),)))
    yield call("future range inside", txn((), (get(b"a", revision=10_000),)))
    yield call("future range, after a put", txn((), (put(b"t"), get(b"a", revision=10_000))))
    yield call("missing lease inside", txn((), (put(b"t", lease=404),)))
    yield call("missing lease in the other branch", txn((holds,), (), (put(b"t", lease=404),)))
    two = (get(b"a", revision=10_000), put(b"t", lease=404))
    yield call("future range and missing lease", txn((), two))
    yield call("missing key inside", txn((), (put(b"none", ignore_value=True),)))
    yield call("value kept inside", txn((), (put(b"a", ignore_value=True, prev_kv=True),)))
    many = tuple(put(b"m%03d" % n) for n in range(129))
    yield call("128 operations", txn((), many[:128]))
    yield call("129 operations", txn((), many))
    yield call("129 compares", txn((holds,) * 129))
    half = txn((), many[:64])
    yield call("64 and 65 nested", txn((), (half, *many[64:128])))
    yield call("64 and 64 nested", txn((), (half, *many[64:127])))
    sorted_ = get(b"m", b"n", sort_order="DESCEND", sort_target="KEY", limit=2, keys_only=True)
    yield call("sorted inside", txn((), (sorted_, delete(b"m", b"n"), sorted_)))


def leases() -> Iterator[Call]:
    def call(name: str, method: str, request: Any) -> Call:
        return Call(f"lease: {name}", f"{LEASE}/Lease{method}", request)

    for ttl in (-1, 0, 1, 2, 3, 600, TTL_S_MAX, TTL_S_MAX + 1):
        grant = lease_pb2.LeaseGrantRequest(TTL=ttl, ID=1_000 + max(ttl, -1) % 977)
        yield call(f"grant for {ttl}", "Grant", grant)
    yield call("grant", "Grant", lease_pb2.LeaseGrantRequest(TTL=600, ID=7))
    yield call("grant again", "Grant", lease_pb2.LeaseGrantRequest(TTL=600, ID=7))
    for key in (b"l2", b"l1", b"l3"):
        yield Call(f"lease: {key!r}", f"{KV}/Put", put(key, b"x", lease=7))
    ask = lease_pb2.LeaseTimeToLiveRequest(ID=7, keys=True)
    yield call("keys", "TimeToLive", ask)
    yield call("without keys", "TimeToLive", lease_pb2.LeaseTimeToLiveRequest(ID=7))
    yield Call("lease: key moves to none", f"{KV}/Put", put(b"l1", b"y"))
    yield Call("lease: key keeps it", f"{KV}/Put", put(b"l2", b"y", ignore_lease=True))
    yield call("keys after that", "TimeToLive", ask)
    yield Call("lease: compare", f"{KV}/Txn", txn((compare(b"l2", "LEASE", "EQUAL", lease=7),)))
    yield call("revoke", "Revoke", lease_pb2.LeaseRevokeRequest(ID=7))
    yield call("revoke again", "Revoke", lease_pb2.LeaseRevokeRequest(ID=7))
    yield call("keys of none", "TimeToLive", ask)
    yield Call("lease: what is left", f"{KV}/Range", get(b"l", b"m"))
    yield Call("lease: put under what is gone", f"{KV}/Put", put(b"l2", lease=7))
    yield call("revoke none", "Revoke", lease_pb2.LeaseRevokeRequest(ID=0))
    yield call("keys of 0", "TimeToLive", lease_pb2.LeaseTimeToLiveRequest(ID=0))


def compaction() -> Iterator[Call]:
    def call(name: str, revision: int, **more: Any) -> Call:
        request = kv_pb2.CompactionRequest(revision=revision, **more)
        return Call(f"compact: {name}", f"{KV}/Compact", request)

    yield call("the future", 10_000)
    yield call("some", 10)
    yield call("the same", 10)
    yield call("less", 5)
    yield call("less than nothing", -1)
    yield call("more, and wait", 12, physical=True)
    for revision in (1, 11, 12, 13):
        yield Call(
            f"compact: read at {revision}", f"{KV}/Range", get(b"k", b"l", revision=revision)
        )
    old = txn((), (get(b"a", revision=3),))
    yield Call("compact: read inside", f"{KV}/Txn", old)
    both = txn((), (put(b"t"), get(b"a", revision=3)))
    yield Call("compact: read inside, after a put", f"{KV}/Txn", both)


def limits() -> Iterator[Call]:
    wants = (("hasleader", "true"),)
    yield Call("limits: with a leader", f"{KV}/Range", get(b"a"), wants)
    for number in range(4):
        large = put(b"big%d" % number, b"x" * 1_400_000)
        yield Call(f"limits: large {number}", f"{KV}/Put", large)
    yield Call("limits: a reply of 5 MB", f"{KV}/Range", get(b"big", b"bih"))
    yield Call("limits: gone", f"{KV}/DeleteRange", delete(b"big", b"bih"))


def operators() -> Iterator[Call]:
    status, alarm = maintenance_pb2.StatusRequest(), maintenance_pb2.AlarmRequest
    yield Call("status", f"{MAINTENANCE}/Status", status)
    yield Call("alarms", f"{MAINTENANCE}/Alarm", alarm())
    disarm = alarm(action="DEACTIVATE", alarm="NOSPACE")
    yield Call("alarms: none to put out", f"{MAINTENANCE}/Alarm", disarm)
    yield Call("defragment", f"{MAINTENANCE}/Defragment", maintenance_pb2.DefragmentRequest())
    yield Call("hash", f"{MAINTENANCE}/Hash", maintenance_pb2.HashRequest())
    for revision in (0, 3, 20, 10_000):
        ask = maintenance_pb2.HashKVRequest(revision=revision)
        yield Call(f"hash at {revision}", f"{MAINTENANCE}/HashKV", ask)
    move = maintenance_pb2.MoveLeaderRequest(targetID=404)
    yield Call("move leader: to nobody", f"{MAINTENANCE}/MoveLeader", move)
    yield Call("members", f"{CLUSTER}/MemberList", cluster_pb2.MemberListRequest())
    for name, urls in (("none", []), ("no URL", ["localhost"]), ("bad scheme", ["x://a:1"])):
        add = cluster_pb2.MemberAddRequest(peerURLs=urls)
        yield Call(f"member add: {name}", f"{CLUSTER}/MemberAdd", add)
    remove = cluster_pb2.MemberRemoveRequest(ID=404)
    yield Call("member remove: nobody", f"{CLUSTER}/MemberRemove", remove)
    update = cluster_pb2.MemberUpdateRequest(ID=404, peerURLs=["http://127.0.0.1:1"])
    yield Call("member update: nobody", f"{CLUSTER}/MemberUpdate", update)
    promote = cluster_pb2.MemberPromoteRequest(ID=404)
    yield Call("member promote: nobody", f"{CLUSTER}/MemberPromote", promote)


def users() -> Iterator[Call]:
    pb = auth_pb2
    for name, request in (
        ("UserList", pb.AuthUserListRequest()),
        ("RoleList", pb.AuthRoleListRequest()),
        ("UserGet", pb.AuthUserGetRequest(name="x")),
        ("UserDelete", pb.AuthUserDeleteRequest(name="x")),
        ("UserChangePassword", pb.AuthUserChangePasswordRequest(name="x", password="y")),
        ("UserGrantRole", pb.AuthUserGrantRoleRequest(user="x", role="y")),
        ("UserRevokeRole", pb.AuthUserRevokeRoleRequest(name="x", role="y")),
        ("RoleGet", pb.AuthRoleGetRequest(role="x")),
        ("RoleDelete", pb.AuthRoleDeleteRequest(role="x")),
        (
            "RoleGrantPermission",
            pb.AuthRoleGrantPermissionRequest(name="x", perm=pb.Permission(key=b"k")),
        ),
        ("RoleRevokePermission", pb.AuthRoleRevokePermissionRequest(role="x", key=b"k")),
        ("UserAdd", pb.AuthUserAddRequest()),
        ("RoleAdd", pb.AuthRoleAddRequest()),
        ("AuthEnable", pb.AuthEnableRequest()),
        ("AuthDisable", pb.AuthDisableRequest()),
        ("Authenticate", pb.AuthenticateRequest(name="x", password="y")),
    ):
        yield Call(f"auth: {name}", f"{AUTH}/{name}", request)


def locks() -> Iterator[Call]:
    pb = concurrency_pb2
    grant = lease_pb2.LeaseGrantRequest(TTL=600, ID=0x1F)
    yield Call("lock: lease", f"{LEASE}/LeaseGrant", grant)
    yield Call("lock: held", f"{LOCK}/Lock", pb.LockRequest(name=b"lock", lease=0x1F))
    yield Call("lock: held by the same", f"{LOCK}/Lock", pb.LockRequest(name=b"lock", lease=0x1F))
    yield Call("lock: its key", f"{KV}/Range", get(b"lock/", b"lock0"))
    yield Call("lock: no such lease", f"{LOCK}/Lock", pb.LockRequest(name=b"lock", lease=404))
    yield Call("lock: let go", f"{LOCK}/Unlock", pb.UnlockRequest(key=b"lock/1f"))
    yield Call("lock: let go again", f"{LOCK}/Unlock", pb.UnlockRequest(key=b"lock/1f"))
    yield Call("lock: let go nothing", f"{LOCK}/Unlock", pb.UnlockRequest())


def elections() -> Iterator[Call]:
    pb = concurrency_pb2

    def call(name: str, method: str, request: Any) -> Call:
        return Call(f"election: {name}", f"{ELECTION}/{method}", request)

    yield call("nobody", "Leader", pb.LeaderRequest(name=b"e"))
    campaign = pb.CampaignRequest(name=b"e", lease=0x1F, value=b"one")
    yield call("won", "Campaign", campaign)
    yield call("won again", "Campaign", pb.CampaignRequest(name=b"e", lease=0x1F, value=b"two"))
    yield call("leader", "Leader", pb.LeaderRequest(name=b"e"))
    stale = pb.LeaderKey(name=b"e", key=b"e/1f", rev=3, lease=0x1F)
    yield call("proclaim, stale", "Proclaim", pb.ProclaimRequest(leader=stale, value=b"x"))
    yield call("proclaim, nobody", "Proclaim", pb.ProclaimRequest(value=b"x"))
    yield call("resign, stale", "Resign", pb.ResignRequest(leader=stale))
    yield call("resign, nobody", "Resign", pb.ResignRequest())
    yield call("no such lease", "Campaign", pb.CampaignRequest(name=b"e", lease=404))
    yield Call("election: its keys", f"{KV}/Range", get(b"e/", b"e0"))


def unknown() -> Iterator[Call]:
    yield Call("unknown method", f"{KV}/Nothing", get(b"a"))
    yield Call("unknown service", "etcdserverpb.Nothing/Range", get(b"a"))
    yield Call(
        "unknown fields", f"{KV}/Range", kv_pb2.RangeRequest.FromString(b"\x0a\x01a\xf2\x07\x01x")
    )


def quirks() -> Iterator[Call]:
    """What an etcd may not have meant; last, as stores differ after it."""
    both = txn((), (put(b"z"), delete(b"s", b"\0")))
    yield Call("quirk: put, and delete from a key on", f"{KV}/Txn", both)
