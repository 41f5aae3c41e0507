"""How an instance is doing, by its state and its checks: the same for every reader, as docs/registration.md has it.

The client library comes to the same (`coordinator_client.checks`); a test lets both judge the same keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from coordinator.catalog.instances import NOTE_SIZE_MAX, Instance, InstanceState, parse_state
from coordinator.state.model import KeyValue

RANKS = {"passing": 0, "warning": 1, "starting": 2, "critical": 3}
"""What a check may come to, from good to bad."""

RESULTS = frozenset({"passing", "warning", "critical"})
"""What may stand in the key of a result."""

TTL = "ttl"
"""The kind of check that the service reports by itself."""

SILENT = InstanceState("critical", "nothing is reported")
SENSELESS = InstanceState("critical", "the result makes no sense")
WAITING = {status: InstanceState(status, "no result yet") for status in RANKS}


class CheckResult(msgspec.Struct, frozen=True, gc=False):
    """What stands in the key of a check's result."""

    state: InstanceState
    session: int
    mod_revision: int


def parse_result(kv: KeyValue) -> CheckResult:
    """Returns the result in a key; `critical` if it makes no sense."""
    state = parse_state(kv.value)
    known = state if state.status in RESULTS else SENSELESS
    return CheckResult(known, kv.session, kv.mod_revision)


def counts(definition: Mapping[str, Any], instance: Instance, result: CheckResult) -> bool:
    """Whether a result is about this instance.

    It is not if it belongs to another session than the definition, or is older: then it is about one that had the same
    id before. What a service reports has a session of its own.
    """
    return definition.get("kind") == TTL or (
        result.session == instance.session and result.mod_revision >= instance.create_revision
    )


def state_of(
    definition: Mapping[str, Any], instance: Instance, result: CheckResult | None
) -> InstanceState:
    """Returns how a check that an instance declares is doing."""
    if result is not None and counts(definition, instance, result):
        return result.state
    if definition.get("kind") == TTL:
        return SILENT
    initial = definition.get("initial")
    return WAITING.get(initial if isinstance(initial, str) else "", WAITING["starting"])


def judge(instance: Instance, own: InstanceState, results: Mapping[str, CheckResult]) -> Instance:
    """Returns the instance with what its state key and the results of its checks come to."""
    if not instance.check_definitions:
        return msgspec.structs.replace(instance, state=own)
    checks = {
        name: state_of(definition, instance, results.get(name))
        for name, definition in instance.check_definitions.items()
    }
    return msgspec.structs.replace(instance, state=worst(own, checks), checks=checks)


def worst(own: InstanceState, checks: Mapping[str, InstanceState]) -> InstanceState:
    """Returns an instance's state: its own word, unless that is good and a check is worse.

    Of checks that are equally bad, the first by name is the reason.
    """
    if own.status not in RESULTS:
        return own
    found, reason = own, ""
    for name in sorted(checks):
        if RANKS[checks[name].status] > RANKS[found.status]:
            found, reason = checks[name], name
    if not reason:
        return found
    note = f"{reason}: {found.note}" if found.note else reason
    return InstanceState(found.status, note[:NOTE_SIZE_MAX], own.guarded)
