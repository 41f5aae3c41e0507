"""Methods in two parts: what comes before their wait, and what makes the reply after it.

Who has many calls under way can let all of them wait, and make the replies one by one as somebody takes them.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from coordinator.rpc import Call, Message


@dataclass(frozen=True)
class Begun:
    """A unary method. Both parts raise RequestError."""

    begin: Callable[[Any, Any], Awaitable[Any]]
    """Takes the call and its request. Returns what is to be waited for; what that comes to takes little memory."""
    finish: Callable[[Any], Message | Awaitable[Message]]
    """Takes what it came to. Returns the reply, which may be large."""

    async def __call__(self, call: Call, request: Any) -> Message:
        """Carries out both, as a host wants it that knows of no parts."""
        return await in_full(self.finish(await self.begin(call, request)))


async def in_full(reply: Message | Awaitable[Message]) -> Message:
    """Returns a reply, which may take a while to make."""
    return await reply if inspect.isawaitable(reply) else reply
