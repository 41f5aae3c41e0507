"""The page that a benchmark writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.document import draw, file_name, machine, page
from benchmarks.peers.report import Sample

RESULTS = {"put, 1 caller": {"coordinator": [Sample(9.0), Sample(7.0)], "etcd": [Sample(5.0)]}}
UNITS = {"put, 1 caller": "ops/s"}


def test_the_page_tells_what_was_measured_and_on_what() -> None:
    text = page(RESULTS, UNITS, ["etcd 3.4", *machine()], ["ops-s.svg"])
    assert "- etcd 3.4\n" in text
    assert "cores (" in text
    assert "| put, 1 caller | coordinator | 8.00 (7.00-9.00) | ops/s |" in text
    assert "![ops-s](benchmarks/ops-s.svg)" in text


def test_a_unit_names_a_file() -> None:
    assert file_name("% of a core") == "of-a-core.svg"


def test_the_same_results_give_the_same_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="only benchmarks install it")
    assert draw(RESULTS, UNITS, tmp_path / "a") == draw(RESULTS, UNITS, tmp_path / "b")
    assert (tmp_path / "a/ops-s.svg").read_bytes() == (tmp_path / "b/ops-s.svg").read_bytes()
