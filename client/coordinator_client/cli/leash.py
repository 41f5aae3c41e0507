"""Becomes another program, after it made sure that that one is killed when its parent dies.

Run as a program: leash.py COMMAND ARGUMENT… It must not need anything but the standard library. The promise holds on
Linux (man 2 prctl, PR_SET_PDEATHSIG) and stays through exec; other systems have nothing like it.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127


def die_with_parent() -> None:
    """Asks the system to kill this program when its parent dies."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def main(command: list[str]) -> int:
    """Becomes the command; returns an exit code, as shells have them, only if that can't be."""
    parent = os.getppid()
    die_with_parent()
    if os.getppid() != parent:
        # It died before the system knew what was wanted.
        return 128 + signal.SIGKILL
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        print(f"coordctl: {command[0]}: there is no such command", file=sys.stderr)
        return EXIT_NOT_FOUND
    except OSError as error:
        print(f"coordctl: {command[0]}: {error.strerror}", file=sys.stderr)
        return EXIT_NOT_EXECUTABLE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
