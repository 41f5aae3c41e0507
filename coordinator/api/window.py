"""Numbered writes beyond the window of their session are refused before they cost an entry of the log."""

from __future__ import annotations

from coordinator.errors import RequestError, Status
from coordinator.node.interface import Node
from coordinator.state.commands import RequestId


def check_window(node: Node, request: RequestId | None) -> None:
    """Raises RequestError if the session of a numbered write keeps too many results, or too large ones.

    That much can be said from what this member has applied, even when it is behind: to refuse is always safe, as
    nothing was proposed. Anything else is left to the log. A session that is not known here may be one that this
    member has not seen open yet, and a window with room may be full when the write is applied, which decides again.
    """
    failure = None if request is None else node.state.foresee(request)
    if failure is not None:
        raise RequestError(
            Status.RESOURCE_EXHAUSTED, failure.code.name, failure.message, {"applied": "no"}
        )
