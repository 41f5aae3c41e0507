"""The environment in which the scripts of this folder run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def enter(script: str) -> None:
    """Goes on in the checkout's environment, where there is one and this is another."""
    prefix = ROOT / ".venv"
    python = prefix / "bin" / "python"
    if python.exists() and Path(sys.prefix).resolve() != prefix.resolve():
        os.execv(python, [str(python), script, *sys.argv[1:]])
