"""What must hold between what clients saw and what the log says. Each checker returns complaints."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from coordinator.state.model import Event, KeyValue
from tests.simulation.history import (
    Fate,
    ReadRecord,
    SessionRecord,
    Truth,
    WatchRecord,
    WriteRecord,
)


def check_writes(writes: Iterable[WriteRecord], truth: Truth) -> list[str]:
    """An acknowledged write stands where it was said to; none is applied twice, and none that was refused at all."""
    complaints = []
    places: dict[bytes, list[tuple[int, bytes]]] = defaultdict(list)
    for batch in truth.batches:
        for event in batch.events:
            if event.kv is not None:
                places[event.kv.value].append((batch.revision, event.key))
    for write in writes:
        if write.value is None:
            if write.fate is Fate.APPLIED and not write.revision <= truth.revision:
                complaints.append(f"delete of {write.key!r} at {write.revision} is lost")
            continue
        found = places.get(write.value, [])
        if len(found) > 1:
            complaints.append(f"{write.value!r} was applied {len(found)} times: {found}")
        if write.fate is Fate.APPLIED and (write.revision, write.key) not in found:
            complaints.append(
                f"{write.value!r} was acknowledged at {write.revision} and is {found or 'lost'}"
            )
        if write.fate in (Fate.REFUSED, Fate.UNMET) and found:
            complaints.append(f"{write.value!r} was {write.fate.value} and stands at {found}")
    return complaints


def check_counters(truth: Truth) -> list[str]:
    """Counters go up by one: a condition that held when it was looked at held when the write was made."""
    complaints = []
    counts: dict[bytes, int] = {}
    for batch in truth.batches:
        for event in batch.events:
            if event.key.startswith(b"c/") and event.kv is not None:
                number = int(event.kv.value.split()[0])
                if number != counts.get(event.key, 0) + 1:
                    complaints.append(
                        f"counter {event.key!r} went from {counts.get(event.key, 0)} to {number} at {batch.revision}"
                    )
                counts[event.key] = number
    return complaints


def check_order(writes: Iterable[WriteRecord], reads: Iterable[ReadRecord]) -> list[str]:
    """Revisions agree with real time: what began after something had ended has no lower revision, a write a higher.

    This is what linearizability comes to where every operation returns the revision at which it took effect; that
    the contents are those of the revision is checked by `check_reads`.
    """
    complaints = []
    steps = [
        (
            write.begun_at,
            write.ended_at,
            write.revision,
            write.fate is Fate.APPLIED and write.value is not None,
            write,
        )
        for write in writes
        # A numbered write that was tried again took effect at any moment since its beginning.
        if write.ended_at is not None
        and write.fate in (Fate.APPLIED, Fate.UNMET)
        and write.revision
    ]
    steps += [
        (read.begun_at, read.ended_at, read.revision, False, read)  # type: ignore[misc]  # both only shown
        for read in reads
        if not read.local
    ]
    steps.sort(key=lambda step: step[0])
    ended: list[tuple[float, int]] = []
    newest = 0
    for begun_at, ended_at, revision, raises, step in steps:
        while ended and ended[0][0] < begun_at:
            newest = max(newest, heapq.heappop(ended)[1])
        if revision < newest or (raises and revision == newest):
            complaints.append(
                f"revision {newest} was known before {begun_at - 1_000:.6f}, when this began: {step}"
            )
        assert ended_at is not None
        heapq.heappush(ended, (ended_at, revision))
    return complaints


def check_reads(reads: Iterable[ReadRecord], truth: Truth) -> list[str]:
    """Every read shows the state of its revision; those of one process never go back."""
    complaints = []
    state: dict[bytes, KeyValue] = {}
    position = 0
    newest: dict[tuple[int, int], int] = {}
    ordered = sorted(reads, key=lambda read: read.revision)
    for read in ordered:
        if read.revision > truth.revision:
            complaints.append(f"a read saw revision {read.revision}, which does not exist")
            continue
        while position < read.revision - 1:
            _advance(state, truth.batches[position].events)
            position += 1
        expected = tuple(state[key] for key in sorted(state) if _covers(read.prefix, key))
        if read.kvs != expected:
            complaints.append(
                f"a read of {read.prefix!r} at {read.revision} saw {read.kvs}, not {expected}"
            )
        if read.revision < read.min_revision:
            complaints.append(f"a read at {read.revision} was to be at {read.min_revision}")
    for read in sorted(reads, key=lambda read: read.begun_at):
        known = newest.setdefault((read.client, read.run), 0)
        if read.revision < known:
            complaints.append(f"process {read.run} went back from {known} to {read.revision}")
        newest[read.client, read.run] = max(known, read.revision)
    return complaints


def _covers(prefix: bytes, key: bytes) -> bool:
    return key.startswith(prefix) if prefix.endswith(b"/") else key == prefix


def _advance(state: dict[bytes, KeyValue], events: Iterable[Event]) -> None:
    for event in events:
        if event.kv is None:
            state.pop(event.key, None)
        else:
            state[event.key] = event.kv


def check_watches(watches: Iterable[WatchRecord], truth: Truth, *, complete: bool) -> list[str]:
    """A watch tells of everything below its prefix, in order, each once; with `complete`, up to the end."""
    complaints = []
    newest: dict[bytes, WatchRecord] = {}
    for watch in watches:
        newest[watch.prefix] = watch
        last = watch.told[-1][0] if watch.told else watch.first_revision - 1
        if complete and watch.compacted_at is None:
            last = truth.revision
        expected = [
            (batch.revision, events)
            for batch in truth.batches[max(0, watch.first_revision - 2) : max(0, last - 1)]
            if (events := tuple(e for e in batch.events if e.key.startswith(watch.prefix)))
        ]
        if watch.told != expected:
            complaints.append(_describe(watch, expected))
        if watch.snapshot is not None:
            complaints += _check_snapshot(watch, truth)
    return complaints


def _describe(watch: WatchRecord, expected: list[tuple[int, tuple[Event, ...]]]) -> str:
    told = [revision for revision, _ in watch.told]
    known = [revision for revision, _ in expected]
    missing = sorted(set(known) - set(told))[:5]
    extra = sorted(set(told) - set(known))[:5]
    return (
        f"the watch on {watch.prefix!r} from {watch.first_revision} told of {len(told)} revisions, {len(known)} were to"
        f" be told; missing {missing}, in excess {extra}, in order: {told == sorted(set(told))}"
    )


def _check_snapshot(watch: WatchRecord, truth: Truth) -> list[str]:
    assert watch.snapshot is not None
    revision, kvs = watch.snapshot
    state: dict[bytes, KeyValue] = {}
    for batch in truth.batches[: revision - 1]:
        _advance(state, batch.events)
    expected = tuple(state[key] for key in sorted(state) if key.startswith(watch.prefix))
    if kvs == expected:
        return []
    return [
        f"the watch on {watch.prefix!r} began with other keys than those of revision {revision}"
    ]


def check_sessions(
    sessions: Iterable[SessionRecord],
    truth: Truth,
    *,
    now: float,
    calm_since: float,
    slack_s: float,
    drift: float | None,
) -> list[str]:
    """No session ends before its time, and none lingers.

    `calm_since`: from then on nothing went wrong. A session without keep-alives is to be gone a TTL and `slack_s`
    after the later of that and its last keep-alive. `drift` is how much faster a clock may run than another; None:
    clocks jumped, and nothing is said about the earliest end.
    """
    complaints = []
    stretch = 2 * (drift or 0.0)
    for session in sessions:
        story = truth.sessions.get(session.id)
        if story is None:
            if session.opened:
                complaints.append(f"session {session.id} was opened and is lost")
            continue
        told_at = max(session.confirmed_at, session.answered_at)
        lives = [
            # What was confirmed after its end may have been another life.
            *(life for life in story.earlier if told_at < (life.ended_at or 0.0)),
            story,
        ]
        for life in lives if session.opened and drift is not None else ():
            due = _due(session) - stretch * session.ttl_s
            if life.expired and life.ended_at is not None and life.ended_at < due:
                complaints.append(
                    f"session {session.id} expired at {life.ended_at - 1_000:.6f}, was to live to {due - 1_000:.6f}"
                )
        if story.ended_at is not None and not story.expired and not session.closing:
            complaints.append(f"session {session.id} was closed by nobody")
        ends = [life.ended_at for life in (*story.earlier, story) if life.ended_at is not None]
        if session.gone_at is not None and min(ends, default=math.inf) > session.gone_at:
            complaints.append(f"session {session.id} was said to be gone, and was not")
        begun_at = max(calm_since, session.touched_at, story.opened_at)
        latest = begun_at + session.ttl_s * (1 + stretch) + slack_s
        if session.abandoned and story.ended_at is None and now > latest:
            complaints.append(f"session {session.id} lingers since {latest - 1_000:.6f}")
    return complaints


def _due(session: SessionRecord) -> float:
    """Until when a session lives at least."""
    due = session.confirmed_at + session.ttl_s
    if session.grace_s is not None and session.broken_at > session.confirmed_at:
        due = min(due, session.broken_at + session.grace_s)
    return due


def check_heirs(
    heirs: Mapping[int, float],
    truth: Truth,
    *,
    now: float,
    calm_since: float,
    slack_s: float,
    drift: float | None,
) -> list[str]:
    """What took over keys of sessions that ended lives for its TTL, which nobody extends, and no longer in calm times.

    `heirs`: their TTLs in seconds, by id. The rest is as in `check_sessions`.
    """
    complaints = []
    stretch = 2 * (drift or 0.0)
    for id, ttl_s in heirs.items():
        story = truth.sessions[id]
        if story.earlier:
            complaints.append(f"the heir {id} was opened twice")
        if drift is not None and story.ended_at is not None:
            due = story.opened_at + ttl_s * (1 - stretch)
            if story.ended_at < due:
                complaints.append(
                    f"the heir {id} ended at {story.ended_at - 1_000:.6f}, was to live to {due - 1_000:.6f}"
                )
        latest = max(calm_since, story.opened_at) + ttl_s * (1 + stretch) + slack_s
        if story.ended_at is None and now > latest:
            complaints.append(f"the heir {id} lingers since {latest - 1_000:.6f}")
    return complaints


def check_keys_of_sessions(truth: Truth) -> list[str]:
    """At the end, no key belongs to a session that is over."""
    state: dict[bytes, KeyValue] = {}
    for batch in truth.batches:
        _advance(state, batch.events)
    return [
        f"{kv.key!r} belongs to session {kv.session}, which is over"
        for kv in state.values()
        if kv.session and truth.sessions[kv.session].ended_at is not None
    ]
