"""Commands that the node proposes for its own sake, whose outcome shows in the state and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from coordinator.errors import RequestError
from coordinator.state.commands import Command
from coordinator.state.results import Outcome

Offer = Callable[[Command], asyncio.Future[Outcome]]
"""Raises RequestError when too much is under way."""

log = structlog.get_logger()


class Errand:
    """One such command at a time."""

    def __init__(self, offer: Offer, purpose: str) -> None:
        self._offer = offer
        self._purpose = purpose
        self.busy = False
        """Whether one is under way."""

    def run(self, command: Command) -> None:
        """Offers a command, unless one is under way; that it failed is logged."""
        if self.busy:
            return
        try:
            future = self._offer(command)
        except RequestError:
            return  # Too much under way: it can wait.
        self.busy = True
        future.add_done_callback(self._done)

    def _done(self, future: asyncio.Future[Outcome]) -> None:
        self.busy = False
        if not future.cancelled() and (error := future.exception()) is not None:
            log.warning("errand failed", purpose=self._purpose, error=str(error))
