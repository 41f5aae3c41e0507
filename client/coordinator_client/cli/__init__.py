"""The command line `coordctl`; docs/cli.md describes it. It needs the extra `cli` of this distribution."""

from __future__ import annotations

import importlib.util
import io
import sys

EXIT_USAGE = 2


def main() -> None:
    """Runs `coordctl` with the arguments of this program, and exits with its code."""
    missing = [name for name in ("click", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"coordctl needs {' and '.join(missing)}, which are not installed. Install them with\n"
            "    pip install 'raft-coordinator-client[cli]'",
            file=sys.stderr,
        )
        sys.exit(EXIT_USAGE)
    from coordinator_client.cli.commands import root

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A locale without a character that is to be shown is no reason to show nothing.
        sys.stdout.reconfigure(errors="backslashreplace")
    root(prog_name="coordctl")
