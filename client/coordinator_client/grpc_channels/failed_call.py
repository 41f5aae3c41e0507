"""A call that failed before it got anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Self

import grpc

__all__ = ["FailedCall"]


class FailedCall(grpc.RpcError, grpc.Call, grpc.Future):  # type: ignore[type-arg]  # generic in its stub only
    """No instance could be called. As what grpcio raises and returns, it is an error, a call, a future and a stream."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self._code = code
        self._details = details

    def code(self) -> grpc.StatusCode:
        """UNAVAILABLE, DEADLINE_EXCEEDED or CANCELLED."""
        return self._code

    def details(self) -> str:
        """A sentence for people."""
        return self._details

    def debug_error_string(self) -> str:
        """Both in one line."""
        return str(self)

    def initial_metadata(self) -> tuple[Any, ...]:
        """None came."""
        return ()

    def trailing_metadata(self) -> tuple[Any, ...]:
        """None came."""
        return ()

    def is_active(self) -> bool:
        """Never."""
        return False

    def time_remaining(self) -> float:
        """None."""
        return 0.0

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """The call is over: False, and it will not be called."""
        return False

    def cancel(self) -> bool:
        """It is too late."""
        return False

    def cancelled(self) -> bool:
        """Whether the channel was closed under it."""
        return self._code is grpc.StatusCode.CANCELLED

    def running(self) -> bool:
        """Never."""
        return False

    def done(self) -> bool:
        """Always."""
        return True

    def result(self, timeout: float | None = None) -> NoReturn:
        """Raises itself."""
        raise self

    def exception(self, timeout: float | None = None) -> Self:
        """Returns itself."""
        return self

    def traceback(self, timeout: float | None = None) -> Any:
        """Returns where it was raised, if it was."""
        return self.__traceback__

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Calls it at once."""
        fn(self)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> NoReturn:
        raise self
