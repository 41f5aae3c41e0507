from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from coordinator_client.cli.child import Child

RUN = "import sys; from coordinator_client.cli.child import Child; sys.exit(Child(sys.argv[1:]).run())"


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143)])
def test_exit_codes(script: str, code: int) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert Child(["sh", "-c", script]).run() == code
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1"])
def test_signals_are_handed_on(name: str) -> None:
    script = f"trap 'echo got; exit 5' {name}; echo ready; while :; do sleep 0.02; done"
    with subprocess.Popen(
        [sys.executable, "-c", RUN, "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(signal.Signals[f"SIG{name}"])
        assert running.stdout.readline() == "got\n"
    assert running.returncode == 5
