"""The scripted scenario against a real etcd and a node of ours: answers are the same, but for what is listed here."""

from __future__ import annotations

from typing import Any

import pytest

from tests.etcd import peers
from tests.etcd.comparison import normalise
from tests.etcd.remote import Answer, Remote
from tests.etcd.scenario import calls

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not peers.installed(), reason="there is no etcd here: make test-etcd"),
]

NEWER = "an etcd 3.5 has the header, as we have"
OTHER_WORDS = "the words are those of the gRPC library"
DIFFERENT: dict[str, str] = {
    "alarms": NEWER,
    "alarms: none to put out": NEWER,
    "defragment": NEWER,
    "members": NEWER,
    "unknown method": OTHER_WORDS,
    "unknown service": OTHER_WORDS,
    "quirk: put, and delete from a key on": "an etcd 3.4 takes the range for empty, and the key changes twice",
}
"""Calls that our node answers otherwise, and why; docs/etcd.md has them for users."""

OWN_FIELDS = frozenset({"version", "dbSize", "dbSizeInUse", "dbSizeQuota", "leader", "hash"}) | {
    *("raftIndex", "raftTerm", "raftAppliedIndex", "members", "hash_revision"),
}
"""Fields that are another on every server, or that an etcd 3.4 does not have."""


def comparable(answer: Answer) -> Answer:
    code, fields = normalise(answer)
    if isinstance(fields, dict):
        fields = {k: v for k, v in fields.items() if k not in OWN_FIELDS}
    return code, fields


def test_every_call_is_answered_alike(pair: tuple[Remote, Remote]) -> None:
    different: dict[str, tuple[Any, Any]] = {}
    count = 0
    for call in calls():
        count += 1
        theirs, ours = (
            comparable(remote.call(call.method, call.request, metadata=call.metadata))
            for remote in pair
        )
        if theirs != ours:
            different[call.name] = theirs, ours
    said = [
        f"{name}\n  etcd: {repr(t)[:600]}\n  ours: {repr(o)[:600]}"
        for name, (t, o) in different.items()
    ]
    unexplained = [
        text for name, text in zip(different, said, strict=True) if name not in DIFFERENT
    ]
    assert not unexplained, f"of {count} calls:\n" + "\n".join(unexplained)
    gone = [name for name in DIFFERENT if name not in different]
    assert not gone, f"answered alike by now: {gone}"
