"""Runs the same program against two servers, and says where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coordinator.gateways.etcd.pb import watch_pb2
from tests.etcd.programs import END, Program, WatchPlan
from tests.etcd.remote import Answer, Remote, Watching, plain


def run(remote: Remote, program: Program, revision: int) -> tuple[list[Answer], list[Any]]:
    """Returns the answers to the steps, and what each watch was told; the program begins at a revision."""
    live = Watching(remote)
    # Told last on the stream, as events of watches that keep up come in order.
    last = program.prefix + END
    live.create(key=last)
    watches = [plan for plan in program.watches if not plan.start]
    for plan in watches:
        live.create(
            key=plan.key, range_end=plan.range_end, prev_kv=plan.prev_kv, filters=plan.filters
        )
    told = Told()
    for _ in range(len(watches) + 1):
        told.take(live.next())
    answers = [normalise(remote.call(step.method, step.request)) for step in program.steps]
    # A watch over nothing is refused, and gets no number.
    numbered = [plan for plan in watches if not plan.range_end or plan.key < plan.range_end]
    ends = [0, *(number for number, plan in enumerate(numbered, 1) if _covers(plan, last))]
    while not all(map(told.ended, ends)):
        told.take(live.next())
    # An etcd tells of one revision after the other; here watches take turns, and then are told to have come to an end.
    live.ask_progress()
    while (response := live.next()).watch_id != -1:
        told.take(response)
    live.close()
    seen: list[Any] = [told.of(number) for number in range(-1, len(numbered) + 1)]
    for plan in program.watches:
        if plan.start:
            seen.append(_past(remote, plan, revision))
    return answers, seen


def _covers(plan: WatchPlan, key: bytes) -> bool:
    """Whether a watch is told that a key was put."""
    return bool(plan.range_end) and plan.key <= key < plan.range_end and 0 not in plan.filters


def _past(remote: Remote, plan: WatchPlan, revision: int) -> Any:
    # The last key was put at the newest revision.
    start = min(revision + plan.start, remote.revision())
    if start == remote.compacted_revision():
        # An etcd tells what is left of that revision, were it only a part. Ours ends such a watch (docs/etcd.md).
        return "not compared"
    past, told = Watching(remote), Told()
    past.create(
        key=plan.key,
        range_end=plan.range_end,
        prev_kv=plan.prev_kv,
        filters=plan.filters,
        start_revision=start,
    )
    while not told.ended(0):
        told.take(past.next())
    past.close()
    return told.of(0)


class Told:
    """What the watches of one stream were told: how answers are cut into messages is the server's business."""

    def __init__(self) -> None:
        self._words: dict[int, list[Any]] = {}
        self._last: dict[int, bytes] = {}
        self._canceled: set[int] = set()

    def take(self, response: watch_pb2.WatchResponse) -> None:
        """Takes down a response."""
        words = self._words.setdefault(response.watch_id, [])
        if response.created:
            words.append(("created", plain(response)))
        elif response.canceled:
            self._canceled.add(response.watch_id)
            words.append(("canceled", response.cancel_reason, bool(response.compact_revision)))
        for event in response.events:
            assert event.kv.mod_revision <= response.header.revision
            words.append(plain(event))
            self._last[response.watch_id] = event.kv.key

    def ended(self, watch_id: int) -> bool:
        """Whether nothing more will come."""
        return watch_id in self._canceled or self._last.get(watch_id, b"").endswith(END)

    def of(self, watch_id: int) -> list[Any]:
        """Returns what a watch was told."""
        return self._words.get(watch_id, [])


def normalise(answer: Answer) -> Answer:
    """Returns an answer without the time that is left, and with keys of leases in order."""
    code, fields = answer
    if code == "OK" and "grantedTTL" in fields:
        fields = {k: v for k, v in fields.items() if k != "TTL"}
        fields["keys"] = sorted(fields.get("keys", ()))
    return code, fields


def differences(
    program: Program, one: tuple[list[Answer], list[Any]], other: tuple[list[Answer], list[Any]]
) -> Iterator[str]:
    """Yields what two servers answered differently."""
    for number, (step, left, right) in enumerate(zip(program.steps, one[0], other[0], strict=True)):
        if left != right:
            yield f"step {number}: {step.method}\n{step.request}\n  etcd: {left}\n  ours: {right}"
    for number, (told, told_too) in enumerate(zip(one[1], other[1], strict=True)):
        if told != told_too:
            yield f"watch {number} of {program.watches}\n  etcd: {told}\n  ours: {told_too}"
