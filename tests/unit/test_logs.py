"""Logs are for people or for machines."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging
import structlog
from coordinator import logs
logs.configure("warning", "{form}")
log = structlog.get_logger()
log.info("quiet")
logging.getLogger("coordinator.consensus").info("quiet")
logging.getLogger("coordinator.consensus").warning("from the library")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("loud", number=3)
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_each_form_writes_what_is_loud_enough(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(form=form)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert not done.stdout
    assert "quiet" not in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert "from the library" in done.stderr
    if form == "json":
        library, record = (json.loads(line) for line in done.stderr.splitlines())
        assert library["event"] == "from the library" and library["level"] == "warning"
        assert record["event"] == "loud" and record["number"] == 3 and record["level"] == "error"
