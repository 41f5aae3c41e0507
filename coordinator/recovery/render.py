"""What was found or done, as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from coordinator.recovery.inspection import (
    JournalReport,
    MemberReport,
    Report,
    SnapshotReport,
    StateReport,
)
from coordinator.recovery.rebirths import Reborn


def report_lines(report: Report) -> Iterator[str]:
    """Yields the lines that tell people what was found."""
    for warning in report.warnings:
        yield f"warning: {warning}"
    if report.identity is not None:
        yield "member    {name}, id {member_id}, of cluster key {cluster_key:x}".format(
            **report.identity
        )
        if report.identity["reborn"]:
            yield f"          its cluster was {report.identity['reborn']} from what another one left"
    yield from map(_member_line, report.members)
    if report.journal is not None:
        yield from _journal_lines(report.journal)
    for snapshot in report.snapshots:
        yield from _snapshot_lines(snapshot, with_members=report.identity is None)
    for damage in report.damage:
        yield f"damage    {damage.what}"
    yield "ok" if report.ok else "DAMAGED"


def reborn_lines(reborn: Reborn, data_dir: str) -> Iterator[str]:
    """Yields the lines that tell what a folder holds now."""
    yield (
        f"{data_dir} holds member {reborn.name} of the new cluster {reborn.cluster_id:x}, "
        f"which begins after entry {reborn.index}"
    )
    yield (
        f"{reborn.key_count} keys, {reborn.session_count} sessions; the revision rose from "
        f"{reborn.revision_before} to {reborn.revision}, up to which history is compacted"
    )
    for peer in reborn.members:
        yield f"member    {peer.name} at {peer.address}"


def _member_line(member: MemberReport) -> str:
    kind = "voter" if member.voter else "learner"
    return f"          {member.name} at {member.peer_address}, {kind}, id {member.id}"


def _journal_lines(journal: JournalReport) -> Iterator[str]:
    size = sum(segment.size_bytes for segment in journal.segments)
    yield f"journal   {len(journal.segments)} files, {size} bytes"
    if journal.ok:
        yield (
            f"          entries {journal.first_index} to {journal.last_index}, committed up to "
            f"{journal.commit_index} at least; term {journal.term}, vote {journal.vote or 'none'}"
        )
    if (tail := journal.torn_tail) is not None:
        yield (
            f"          torn tail: {tail.size_bytes} bytes of {tail.file} from byte {tail.offset} on, "
            "which nobody relies on; the next start cuts them off"
        )


def _snapshot_lines(snapshot: SnapshotReport, *, with_members: bool) -> Iterator[str]:
    if not snapshot.ok:
        yield f"snapshot  {snapshot.file}, {snapshot.size_bytes} bytes, damaged"
        return
    yield (
        f"snapshot  {snapshot.file}, {snapshot.size_bytes} bytes, of entry {snapshot.index}, "
        f"term {snapshot.term}"
    )
    if with_members:
        yield from map(_member_line, snapshot.members)
    if snapshot.state is not None:
        yield from _state_lines(snapshot.state)


def _state_lines(state: StateReport) -> Iterator[str]:
    yield (
        f"          cluster {state.cluster_id:x}, revision {state.revision}, compacted up to "
        f"{state.compacted_revision}"
    )
    yield f"          {state.key_count} keys, {state.session_count} sessions, digest {state.digest}"
