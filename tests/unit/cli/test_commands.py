from __future__ import annotations

import subprocess
import sys

import pytest

from coordinator_client.cli.commands import root
from tests.unit.cli.conftest import Coordctl


def test_all_commands_are_there_and_say_what_they_do(coordctl: Coordctl) -> None:
    promised = (
        "put get ls del watch txn session register services status members member move-leader"
        " snapshot drain maintenance deregister proxies"
    )
    assert set(root.commands) == set(promised.split())
    for name in root.commands:
        assert "--help" in coordctl.run(name, "--help").stdout
    assert "0.1.0" in coordctl.run("--version").stdout


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None;"
        " from coordinator_client.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert missing in done.stderr
    assert "pip install 'raft-coordinator-client[cli]'" in done.stderr
