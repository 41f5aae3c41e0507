"""Methods in two parts: before the wait for the log, and after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from coordinator.rpc import Message
from coordinator.state.results import Outcome


@dataclass(frozen=True)
class Begun:
    """A method of one request and one reply. Both parts raise RequestError."""

    begin: Callable[[Any, Any], asyncio.Future[Outcome] | Coroutine[Any, Any, Message]]
    """Takes the call and its request. Returns what is to be waited for: an outcome to finish with, or the reply."""
    finish: Callable[[Outcome], Message]
