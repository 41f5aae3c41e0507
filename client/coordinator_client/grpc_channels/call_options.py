"""What a program says about one call."""

from __future__ import annotations

import time
from typing import Any

import grpc

__all__ = ["CallOptions"]


class CallOptions:
    """The arguments of a multi-callable, with a deadline that begins now."""

    def __init__(
        self,
        timeout: float | None,
        metadata: Any,
        credentials: grpc.CallCredentials | None,
        wait_for_ready: bool | None,
        compression: grpc.Compression | None,
    ) -> None:
        self.deadline_s = None if timeout is None else time.monotonic() + timeout
        self.metadata = metadata
        self.credentials = credentials
        self.wait_for_ready = wait_for_ready
        self.compression = compression

    def arguments(self) -> dict[str, Any]:
        """For the multi-callable of a sub-channel.

        A call is waiting for an instance before one is picked. It must not wait for that one as well, if its
        connection is lost just now.
        """
        remaining_s = None if self.deadline_s is None else self.deadline_s - time.monotonic()
        return {
            "timeout": remaining_s,
            "metadata": self.metadata,
            "credentials": self.credentials,
            "wait_for_ready": False,
            "compression": self.compression,
        }

    def key(self, name: str | None) -> str | bytes:
        """Returns what the call is about: the value of its metadata entry of that name; empty without one."""
        for key, value in (self.metadata or ()) if name is not None else ():
            if key == name:
                return value if isinstance(value, bytes) else str(value)
        return b""
