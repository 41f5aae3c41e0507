"""Makes a state the beginning of another cluster.

Keys, sessions and results stay. History goes, and the revision rises beyond any that a client of the cluster before can
have seen: whoever resumes a watch from there is told that it was compacted, and nobody takes a change of the new
cluster for one of the old.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from coordinator.state.commands import Compact, encode_bundle, encode_command, encode_proposal
from coordinator.state.machine import StateMachine
from coordinator.state.snapshot import FORMAT_VERSION, MAGIC, Head, Section

REVISION_MAX = 1 << 62
"""A bump must not raise a revision beyond this one."""


def reborn(machine: StateMachine, cluster_id: int, revision_bump: int) -> Iterator[bytes]:
    """Yields the parts of the state as that of another cluster; the machine, which is changed, is of no more use.

    Depends on nothing but its arguments. Raises ValueError if the revision would become too large.
    """
    revision = machine.revision + revision_bump
    if revision_bump < 1 or revision > REVISION_MAX:
        raise ValueError(f"revision {machine.revision} can't be raised by {revision_bump}")
    compact = encode_command(Compact(machine.revision))
    machine.apply(encode_bundle([encode_proposal(0, 0, compact)]))
    head = Head(revision, revision, cluster_id, machine.leader_term)
    yield from _with_head(machine.capture().encode(), head)


def _with_head(slices: Iterable[bytes], head: Head) -> Iterator[bytes]:
    """Yields a stream with another head."""
    start = len(MAGIC) + 1
    opening = bytearray()
    slices = iter(slices)
    for piece in slices:
        opening += piece
        stop = start + 4 + int.from_bytes(opening[start : start + 4], "big")
        if len(opening) >= start + 4 and len(opening) >= stop:
            break
    body = msgspec.msgpack.encode((Section.HEAD, (head,)))
    yield MAGIC + bytes((FORMAT_VERSION,)) + len(body).to_bytes(4, "big") + body
    yield bytes(opening[stop:])
    yield from slices
