"""What `SyncObj` is given in place of parts of its own."""

from __future__ import annotations

from typing import Any

from pysyncobj.node import Node
from pysyncobj.transport import Transport as SyncObjTransport

from coordinator.consensus.codec import RequestVote, Vote
from coordinator.consensus.engine.hooks import CoreHooks
from coordinator.errors import FatalError


class Outlet(SyncObjTransport):  # type: ignore[misc]  # pysyncobj has no types
    """Where `SyncObj` believes its network to be: turns the few messages it still makes into ours."""

    def __init__(self, hooks: CoreHooks) -> None:
        super().__init__(None, None, [])
        self._hooks = hooks

    def send(self, node: Any, message: dict[str, Any]) -> bool:
        kind = message["type"]
        if kind == "request_vote":
            term = message["term"]
            request = RequestVote(
                term,
                message["last_log_index"],
                message["last_log_term"],
                self._hooks.transfers(term),
            )
            self._hooks.send_when_durable(node.id, request)
        elif kind == "response_vote":
            self._hooks.send_when_durable(node.id, Vote(message["term"]))
        else:
            raise FatalError(f"pysyncobj tried to send {kind!r}, which does not exist here")
        return True


class Member(int, Node):  # type: ignore[misc]  # pysyncobj has no types
    """Stands for a member: its id, hashed and compared as the number that it is, many times in each pass."""

    id = property(int.__int__)


class NoPoller:
    """Takes the place of what waits for sockets, of which `SyncObj` has none here."""

    def poll(self, _: float) -> None:
        """Nothing can have happened."""
