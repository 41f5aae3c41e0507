"""What a channel needs of a view of a service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from coordinator_client.instances import Instance

__all__ = ["View"]


class View(Protocol):
    """A ServiceView of either face, or what behaves like one."""

    @property
    def service(self) -> str:
        """The name of the service."""
        ...

    def instances(self) -> Sequence[Instance]:
        """Returns the same object as long as nothing changes."""
        ...

    def changes(self) -> Any:
        """Returns an iterator that yields whenever something changes, and ends when it is closed."""
        ...
