"""All that is fuzzed."""

from __future__ import annotations

from tests.fuzz import calls, engines, files, frames, services, states, wire
from tests.fuzz.target import Target

TARGETS: list[Target] = [
    *frames.TARGETS,
    *engines.TARGETS,
    *files.TARGETS,
    *states.TARGETS,
    *services.TARGETS,
    *wire.TARGETS,
    *calls.TARGETS,
]
