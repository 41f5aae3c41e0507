"""The transactions that write what checks came to.

Each compares the key of the slot, so that nothing is written by a node that lost it, and the definition, so that
nothing is said about an instance that is gone or another one by now.
"""

from __future__ import annotations

import msgspec

from coordinator.catalog.instances import CHECKS, DEFINITIONS, ROOT, STATES, Instance, InstanceState
from coordinator.checks.holdings import unchanged
from coordinator.checks.slots import slot_key
from coordinator.state.commands import Compare, DeleteRange, Put, Selector, Txn
from coordinator.state.model import Cause


def _key(instance: Instance, kind: str) -> bytes:
    return ROOT + f"{instance.service}/{kind}/{instance.id}".encode()


def state_key(instance: Instance) -> bytes:
    """Returns the key of an instance's state."""
    return _key(instance, STATES)


def _result_key(instance: Instance, check: str) -> bytes:
    return _key(instance, CHECKS) + b"/" + check.encode()


def _guards(instance: Instance, slot: int, revision: int) -> tuple[Compare, Compare]:
    definition = unchanged(_key(instance, DEFINITIONS), instance.mod_revision)
    return unchanged(slot_key(slot), revision), definition


def result_of(
    instance: Instance, slot: int, revision: int, check: str, state: InstanceState
) -> Txn:
    """Writes the result of a check under the session of the definition, so that it goes with the instance.

    `revision` is that of the slot's key.
    """
    fields = {"state": state.status} | ({"note": state.note} if state.note else {})
    put = Put(_result_key(instance, check), msgspec.json.encode(fields), instance.session)
    return Txn(_guards(instance, slot, revision), (put,))


def removal_of(
    instance: Instance, slot: int, revision: int, check: str, judged: int, state: int
) -> Txn:
    """Deletes all keys of an instance because a check failed for too long.

    `judged` and `state` are the revisions of the check's result and of the instance's state by which that was decided,
    0 if there was none: an operator may have spoken since.
    """
    guards = (
        *_guards(instance, slot, revision),
        unchanged(_result_key(instance, check), judged),
        unchanged(state_key(instance), state),
    )
    results = _key(instance, CHECKS)
    # "0" is the character after "/".
    selectors = (
        Selector(_key(instance, DEFINITIONS)),
        Selector(state_key(instance)),
        Selector(results + b"/", results + b"0"),
    )
    return Txn(guards, tuple(DeleteRange(s, cause=Cause.CHECK_FAILED) for s in selectors))
