from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coordinator.config import Limits, Timing
from coordinator.consensus.interface import Peer
from coordinator.consensus.settings import EngineConfig, split_address
from coordinator.errors import ConfigError
from tests.unit.consensus.stage import make_peers


def make(**settings: Any) -> EngineConfig:
    values: dict[str, Any] = {
        "name": "n2",
        "peers": make_peers(3),
        "cluster_key": 1,
        "data_dir": Path("unused"),
        "client_address": "",
    }
    return EngineConfig(**values | settings)


def test_the_defaults_are_those_of_the_server_and_fit() -> None:
    config = make()
    assert config.this.id == 2
    assert config.heartbeat_ms == Timing().heartbeat_ms
    assert config.frame_size_bytes_max == Limits().peer_frame_size_bytes_max
    assert config.entry_size_bytes_max > 2 * Limits().request_size_bytes_max


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"name": "n9"}, "must appear once"),
        ({"peers": (Peer(1, "n2", ""), Peer(1, "n3", ""))}, "same id"),
        ({"peers": (Peer(1, "n2", ""), Peer(2, "n1", ""), Peer(3, "n1", ""))}, "same name"),
        ({"peers": (Peer(0, "n2", ""),)}, "member ids"),
        ({"cluster_key": 1 << 64}, "64 bits"),
        ({"tick_ms": 0}, "must be positive"),
        ({"heartbeat_ms": 200}, "three heartbeats"),
        ({"election_timeout_ms_max": 600}, "more than election_timeout_ms_min"),
        ({"frame_size_bytes_max": 100_000}, "two chunks"),
        ({"frame_size_bytes_max": 600_000}, "two batches"),
        ({"snapshot_bytes_per_s_max": 1_000_000}, "four chunks"),
        ({"send_window_bytes_max": 9_000_000}, "two of the largest frames"),
    ],
)
def test_settings_that_can_not_work(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        make(**settings)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("host:0", ("host", 0)),
        ("[::1]:65535", ("::1", 65_535)),
    ],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["", ":1", "host", "host:", "host:x", "host:65536", "h:-1"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ConfigError, match="host:port"):
        split_address(address)
