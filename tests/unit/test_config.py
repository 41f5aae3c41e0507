"""Every setting is documented with its default."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from coordinator.config import Config, Limits, Timing

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


@pytest.mark.parametrize("kind", [Config, Limits, Timing])
def test_every_setting_is_documented_with_its_default(kind: type) -> None:
    rows = {
        cells[1].strip(" `"): cells[2].strip(" `")
        for cells in (line.split("|") for line in DOCUMENT.read_text().splitlines())
        if len(cells) > 3
    }
    for field in dataclasses.fields(kind):
        if field.name in ("limits", "timing"):
            continue
        default = str(field.default).lower() if field.type == "bool" else str(field.default)
        assert rows.get(field.name) == ("" if field.default == () else default), field.name


def test_the_defaults_fit_together() -> None:
    limits, timing = Limits(), Timing()
    assert limits.peer_frame_size_bytes_max >= 2 * limits.request_size_bytes_max
    assert limits.peer_send_window_bytes_max >= 2 * limits.peer_frame_size_bytes_max
    assert limits.range_reply_size_bytes_max < 4 << 20
    assert timing.heartbeat_ms * 3 <= timing.election_timeout_ms_min
