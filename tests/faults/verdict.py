"""What follows from what clients were told and what the cluster says afterwards. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tests.faults.observers import Change
from tests.faults.workload import Effect, Trace

SHOWN_MAX = 5


def judge(
    trace: Trace, history: Sequence[Change], observed: Mapping[str, Sequence[Change]]
) -> list[str]:
    """Returns what is wrong; `history` is what the cluster says that happened, in full."""
    return [
        *limited("errors no client should get", trace.odd),
        *limited("acknowledged, but not in the history", lost_effects(trace.effects, history)),
        *limited("applied twice", repeated_values(history)),
        *limited("refused, but applied", refused_but_applied(trace.refused, history)),
        *limited("read, but never written so", unwritten_reads(trace.seen, history)),
        *limited("revisions against the order of time", disorder(trace.effects)),
        *(
            problem
            for name, changes in observed.items()
            for problem in limited(f"watch {name}", differences(changes, history))
        ),
    ]


def limited(title: str, problems: Iterable[str]) -> list[str]:
    """At most a few of the problems, under a title."""
    found = list(problems)
    more = [f"{title}: {len(found) - SHOWN_MAX} more"] if len(found) > SHOWN_MAX else []
    return [f"{title}: {problem}" for problem in found[:SHOWN_MAX]] + more


def lost_effects(effects: Iterable[Effect], history: Iterable[Change]) -> Iterable[str]:
    """Acknowledged writes that are not where clients were told they are."""
    happened = set(history)
    for effect in effects:
        if Change(effect.revision, effect.key, effect.value) not in happened:
            yield f"{effect.key} = {effect.value!r} at revision {effect.revision}"


def repeated_values(history: Iterable[Change]) -> Iterable[str]:
    """Values that were written more than once, although no client wrote one twice."""
    first: dict[str, int] = {}
    for change in history:
        if change.value is not None:
            if change.value in first:
                yield f"{change.value!r} at revisions {first[change.value]} and {change.revision}"
            first[change.value] = change.revision


def refused_but_applied(refused: Iterable[str], history: Iterable[Change]) -> Iterable[str]:
    written = {change.value: change.revision for change in history}
    return (f"{value!r} at revision {written[value]}" for value in refused if value in written)


def unwritten_reads(
    seen: Iterable[tuple[str, str, int]], history: Iterable[Change]
) -> Iterable[str]:
    happened = set(history)
    for key, value, revision in seen:
        if Change(revision, key, value) not in happened:
            yield f"{key} = {value!r} of revision {revision}"


def disorder(effects: Iterable[Effect]) -> Iterable[str]:
    """Writes that began when a write with a higher revision had been acknowledged."""
    ends = sorted(effects, key=lambda effect: effect.returned_s)
    begins = sorted(ends, key=lambda effect: effect.called_s)
    highest, done = 0, 0
    for effect in begins:
        while done < len(ends) and ends[done].returned_s < effect.called_s:
            highest = max(highest, ends[done].revision)
            done += 1
        if effect.revision <= highest:
            yield f"{effect.key} got {effect.revision} after {highest} was acknowledged"


def differences(changes: Sequence[Change], history: Sequence[Change]) -> Iterable[str]:
    """Where what a watch told departs from the history: the first place is enough."""
    for position, (told, happened) in enumerate(zip(changes, history, strict=False)):
        if told != happened:
            yield f"told {told} where {happened} happened, at place {position}"
            return
    if len(changes) != len(history):
        yield f"told {len(changes)} of {len(history)} changes"
