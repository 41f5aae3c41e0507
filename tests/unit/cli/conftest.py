"""coordctl without a cluster: a client that returns what a test put in, and remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Self

import pytest
from click.testing import CliRunner, Result

from coordinator_client.cli.commands import root
from coordinator_client.cli.options import Options


class CannedClient:
    """Answers each method with the value given for it, or raises that if it is an error."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.endpoints = ("here:1",)
        self.options: Options | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def method(*arguments: Any, **options: Any) -> Any:
            self.asked.append((name, arguments, options))
            answer = self.answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer(*arguments, **options) if callable(answer) else answer

        return method


class Coordctl:
    """Runs commands against the canned client."""

    def __init__(self, client: CannedClient) -> None:
        self.client = client

    def run(self, *arguments: str, code: int = 0, stdin: bytes = b"") -> Result:
        done = CliRunner(catch_exceptions=False).invoke(root, arguments, input=stdin)
        assert done.exit_code == code, done.output
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run("-o", "json", *arguments, code=code).stdout)


@pytest.fixture
def coordctl(monkeypatch: pytest.MonkeyPatch) -> Coordctl:
    client = CannedClient()

    def connect(options: Options) -> CannedClient:
        client.options = options
        return client

    monkeypatch.setattr(Options, "connect", connect)
    return Coordctl(client)
