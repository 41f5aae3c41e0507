from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from coordinator_client.cli import leash


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", leash.__file__, *command],
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_becomes_the_command() -> None:
    done = run("sh", "-c", 'echo "$0 $1"; exit 3', "one", "--two")
    assert done.stdout == "one --two\n"
    assert done.returncode == 3


def test_a_command_that_is_not_there_or_no_program(tmp_path: Path) -> None:
    done = run("no-such-command-here")
    assert done.returncode == leash.EXIT_NOT_FOUND
    assert "there is no such command" in done.stderr
    file = tmp_path / "text"
    file.write_text("text")
    done = run(str(file))
    assert done.returncode == leash.EXIT_NOT_EXECUTABLE
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have nothing like it")
def test_the_command_is_killed_when_its_parent_dies() -> None:
    code = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-I', {leash.__file__!r}, 'sh', '-c',"
        " 'echo up; exec sleep 60'], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "os._exit(9)\n"
    )
    # If the command lived on it would keep standard error open, and this would not return in time.
    done = subprocess.run(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, timeout=20, check=False
    )
    assert done.returncode == 9
