"""What is remembered of the checks in a definition: the fields of docs/health.md, and of each no more than is needed.

Whoever writes the key may write anything, and lists and objects take many times their size in memory. So what is too
much stays just so much that whoever judges it finds it wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

FIELDS = frozenset(
    {
        "body_contains",
        "deregister_critical_after_ms",
        "failures_before_critical",
        "headers",
        "host",
        "initial",
        "interval_ms",
        "kind",
        "method",
        "port",
        "service",
        "status",
        "successes_before_passing",
        "timeout_ms",
        "tls",
        "tls_verify",
        "ttl_ms",
        "url",
    }
)
"""Of checks of all kinds. Others are passed over by everybody."""

TEXT_SIZE_KEPT = 2_049
"""One character more than the longest text may have."""

ITEMS_KEPT = 33
"""One more than the largest object may have."""


def remembered(check: Mapping[str, Any]) -> dict[str, Any]:
    """Returns of a check what somebody may need."""
    return {name: _bounded(value) for name, value in check.items() if name in FIELDS}


def _bounded(value: object) -> object:
    if isinstance(value, dict):
        return {_single(name): _single(item) for name, item in islice(value.items(), ITEMS_KEPT)}
    return _single(value)


def _single(value: object) -> object:
    if isinstance(value, str):
        return value[:TEXT_SIZE_KEPT]
    # No field is a list, and no header anything but text.
    return [] if isinstance(value, list | dict) else value
