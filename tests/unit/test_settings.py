"""Settings come from flags, the environment and a file; a wrong one gets a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coordinator.config import Config, Member
from coordinator.errors import ConfigError
from coordinator.settings import (
    is_loopback,
    load,
    parse_address,
    parse_addresses,
    parse_cluster,
    parse_networks,
)


def test_without_anything_it_is_a_cluster_of_one_on_loopback() -> None:
    assert load({}, {}) == Config()


def test_a_flag_wins_over_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        'name = "f"\ndata_dir = "f"\nlog_level = "debug"\n'
        "[limits]\ntxn_ops_max = 7\nwatches_max = 9\n[timing]\ntick_ms = 5\n"
        '[cluster]\nx = "127.0.0.1:1"\n'
    )
    environment = {
        "COORDINATOR_DATA_DIR": "e",
        "COORDINATOR_NAME": "e",
        "COORDINATOR_LIMITS_WATCHES_MAX": "10",
        "COORDINATOR_ENDPOINTS": "for clients only",
    }
    config = load({"name": "x", "data_dir": None}, environment, str(file))
    assert (config.name, config.data_dir, config.log_level) == ("x", "e", "debug")
    assert config.limits.txn_ops_max == 7 and config.limits.watches_max == 10
    assert config.timing.tick_ms == 5
    assert config.cluster == (Member("x", "127.0.0.1:1"),)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"name": "a b"}, "name"),
        ({"data_dir": ""}, "data_dir"),
        ({"client_address": "localhost"}, "host:port"),
        ({"client_address": "localhost:0"}, "port"),
        ({"client_address": "localhost:65536"}, "port"),
        ({"client_address": "::1:80"}, "host:port"),
        ({"client_address": "10.1.2.3:80"}, "--insecure"),
        ({"peer_address": "0.0.0.0:80"}, "--insecure"),
        ({"peer_address": "127.0.0.1:2379"}, "the same"),
        ({"cluster": "n1"}, "name=host:port"),
        ({"cluster": "n2=127.0.0.1:1"}, "not among"),
        ({"cluster": "n1=127.0.0.1:1,n1=127.0.0.1:2"}, "name occurs twice"),
        ({"cluster": "n1=127.0.0.1:1,n2=127.0.0.1:1"}, "address occurs twice"),
        ({"cluster": "n1=127.0.0.1:x"}, "port"),
        ({"join": "127.0.0.1"}, "host:port"),
        ({"join": ",".join(f"h:{i}" for i in range(1, 66))}, "more than 64"),
        ({"join": "h:1", "cluster": "n1=h:1"}, "exclude each other"),
        ({"dns_address": "10.1.2.3:53"}, "--insecure"),
        ({"checks_allowed_networks": "10.0.0.0/8,here"}, "'here' is not a network"),
        ({"checks_allowed_networks": "10.0.0.1/8"}, "not a network"),
        ({"checks_allowed_networks": 8}, "text like 10.0.0.0/8"),
        (
            {"checks_allowed_networks": [f"10.0.{i}.0/24" for i in range(256)] + ["::/0"]},
            "more than",
        ),
        ({"dns_address": "127.0.0.1"}, "host:port"),
        ({"dns_address": "127.0.0.1:2379"}, "something else"),
        *(
            ({"dns_domain": wrong}, "dns_domain")
            for wrong in ("", ".", "a..b", "a_b", "ä", "a b.", "a.arpa.")
        ),
        ({"dns_domain": ".".join(["a" * 50] * 3)}, "dns_domain"),
        ({"dns_forwarders": "resolver:53"}, "IP address"),
        ({"dns_forwarders": "9.9.9.9"}, "host:port"),
        ({"dns_forwarders": ",".join(f"10.0.0.{i}:53" for i in range(9))}, "more than 8"),
        ({"dns_address": "127.0.0.1:53", "dns_forwarders": "127.0.0.1:53"}, "itself"),
        ({"log_level": "loud"}, "log_level"),
        ({"log_format": "xml"}, "log_format"),
        ({"grpc_host": "apache"}, "grpc_host must be one of front, grpcio"),
        ({"insecure": "perhaps"}, "true or false"),
        ({"colour": "blue"}, "no setting colour"),
    ],
)
def test_a_wrong_setting_gets_a_sentence(values: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        load(values, {})


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("name = ", "not TOML"),
        ("[limits]\nwatches_max = 0", "positive"),
        ("[limits]\nwatches_max = true", "positive"),
        ("[limits]\ndisk_free_bytes_min = -1", "from 0"),
        ("[timing]\nscrub_pause_ms = 'never'", "from 0"),
        ("[limits]\ndns_udp_size_bytes_max = 511", "between 512 and 4096"),
        ("[timing]\ndns_ttl_s = 1000000", "at most"),
        ("[limits]\nnothing_max = 1", "no setting limits.nothing_max"),
        ("[limits]\nsession_ttl_ms_min = 99999999999", "above"),
        ("[limits]\npeer_frame_size_bytes_max = 1000", "two of the largest"),
        ("[limits]\npeer_send_window_bytes_max = 1000", "largest frames"),
        ("[timing]\nheartbeat_ms = 1000", "a third"),
        ("[timing]\nelection_timeout_ms_min = 5000", "above"),
        ("limits = 3", "tables"),
        ("name = 3", "must be text"),
        ("cluster = 3", "cluster must be"),
    ],
)
def test_a_wrong_file_gets_a_sentence(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=word):
        load({}, {}, str(file))


def test_a_missing_file_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't read"):
        load({}, {}, str(tmp_path / "none.toml"))


def test_some_things_are_turned_off_by_nought() -> None:
    off = {
        "COORDINATOR_LIMITS_DISK_FREE_BYTES_MIN": "0",
        "COORDINATOR_TIMING_HISTORY_AGE_MS_MAX": "0",
        "COORDINATOR_TIMING_DIGEST_CHECK_MS": "0",
        "COORDINATOR_TIMING_SCRUB_PAUSE_MS": "0",
    }
    config = load({}, off)
    assert config.limits.disk_free_bytes_min == config.timing.history_age_ms_max == 0
    assert config.timing.digest_check_ms == config.timing.scrub_pause_ms == 0


def test_any_address_is_allowed_with_insecure() -> None:
    assert load({"client_address": "0.0.0.0:1", "insecure": True}, {}).insecure
    assert load({"client_address": "0.0.0.0:1"}, {"COORDINATOR_INSECURE": "true"}).insecure


def test_addresses_and_clusters_are_parsed() -> None:
    assert parse_address("a", "[::1]:80") == ("::1", 80)
    assert parse_address("a", "host:80") == ("host", 80)
    assert parse_cluster("a=h:1, b=h:2") == (Member("a", "h:1"), Member("b", "h:2"))
    assert is_loopback("localhost") and is_loopback("127.9.9.9") and is_loopback("::1")
    assert not is_loopback("example.org") and not is_loopback("0.0.0.0")


def test_addresses_to_join() -> None:
    assert (
        parse_addresses("join", " h:1, h:2,,h:1")
        == parse_addresses("join", ["h:1", "h:2"])
        == ("h:1", "h:2")
    )
    assert parse_addresses("join", "") == ()
    for wrong in (7, ["h:1", 7], {"h": 1}):
        with pytest.raises(ConfigError, match="join must be"):
            parse_addresses("join", wrong)
    assert load({"join": "h:1"}, {}).join == ("h:1",)


def test_networks_come_as_text_or_as_a_list() -> None:
    expected = ("10.0.0.0/8", "fd00::/8")
    assert (
        load({"checks_allowed_networks": "10.0.0.0/8, fd00::/8,"}, {}).checks_allowed_networks
        == expected
    )
    environment = {"COORDINATOR_CHECKS_ALLOWED_NETWORKS": "10.0.0.0/8,fd00::/8"}
    assert load({}, environment).checks_allowed_networks == expected
    assert parse_networks("networks", list(expected)) == expected


@pytest.mark.parametrize("ttl", ["499", "600001"])
def test_the_session_of_checks_has_a_length_that_makes_sense(ttl: str) -> None:
    with pytest.raises(ConfigError, match="checks_session_ttl_ms"):
        load({}, {"COORDINATOR_TIMING_CHECKS_SESSION_TTL_MS": ttl})
