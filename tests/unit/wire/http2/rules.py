"""A rule of an RFC as a row of a table: its section, what a client does, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import hyperframe.frame as hf
import pytest

from coordinator.wire.http2 import Code, Http2Limits
from coordinator.wire.http2.frames import HEAD, PREFACE
from tests.unit.wire.http2.dialogue import Dialogue

Parts = Sequence[hf.Frame | bytes]


@dataclass(frozen=True)
class Dies:
    """The connection ends with this code."""

    code: Code

    def check(self, dialogue: Dialogue, parts: Parts) -> None:
        dialogue.send(*parts)
        dialogue.expect_end(self.code)


@dataclass(frozen=True)
class Resets:
    """The stream ends with this code, and the connection goes on."""

    code: Code
    stream_id: int = 1

    def check(self, dialogue: Dialogue, parts: Parts) -> None:
        dialogue.send(*parts)
        dialogue.expect_reset(self.code, self.stream_id)


@dataclass(frozen=True)
class Passes:
    """These events are told, and the connection goes on."""

    events: str = ""

    def check(self, dialogue: Dialogue, parts: Parts) -> None:
        events = dialogue.send(*parts)
        assert " ".join(type(event).__name__ for event in events) == self.events
        answered = {type(frame) for frame in dialogue.answers()}
        assert not answered & {hf.RstStreamFrame, hf.GoAwayFrame}
        dialogue.ping()


@dataclass(frozen=True)
class Rule:
    section: str
    text: str
    outcome: Dies | Resets | Passes
    build: Callable[[Dialogue], Parts]
    limits: Http2Limits = field(default_factory=Http2Limits)
    greet: bool = True

    def check(self) -> None:
        dialogue = Dialogue(self.limits, self.greet)
        self.outcome.check(dialogue, self.build(dialogue))


def numbered(first: int, rules: Sequence[Rule]) -> list[object]:
    """Parameters for a test, with ids such as `RFC9113-007-5.1-DATA_on_an_idle_stream`, numbered from `first` on."""
    return [
        pytest.param(rule, id=f"RFC9113-{number:03}-{rule.section}-{rule.text.replace(' ', '_')}")
        for number, rule in enumerate(rules, first)
    ]


def raw(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """A frame that need not be valid."""
    return HEAD.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def opened(dialogue: Dialogue, *parts: hf.Frame | bytes, end: bool = False) -> Parts:
    """With stream 1 open, these."""
    dialogue.open(1, end=end)
    return parts


def closed(dialogue: Dialogue, *parts: hf.Frame | bytes) -> Parts:
    """With stream 1 ended by both sides, these."""
    dialogue.open(1, end=True)
    assert dialogue.connection.send_reply(1, b"\x88", b"x", b"\x88")
    dialogue.answers()
    return parts


def dropped(dialogue: Dialogue, *parts: hf.Frame | bytes) -> Parts:
    """With stream 1 reset by us, these."""
    dialogue.open(1)
    assert dialogue.connection.reset(1, Code.CANCEL)
    dialogue.answers()
    return parts


def abandoned(dialogue: Dialogue, *parts: hf.Frame | bytes) -> Parts:
    """With stream 1 reset by the client, these."""
    dialogue.open(1)
    dialogue.send(hf.RstStreamFrame(1, 8))
    return parts


def prefaced(*parts: hf.Frame | bytes) -> Parts:
    """A connection's beginning."""
    return (PREFACE, *parts)
