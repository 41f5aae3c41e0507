"""A file system that can be full, and an fsync that can fail."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parent / "fsync_fault.c"
SPARE_SIZE_BYTES = 4 * 1024 * 1024
LEFT_SIZE_BYTES = 8 * 1024
FILLER = "filler"


def build_fsync_fault(folder: Path) -> dict[str, str] | str:
    """Compiles the library that lets fsync fail; returns the environment that preloads it, or why there is none."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        return "fsync can't be made to fail: that takes Linux and gcc"
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "fsync_fault.so"
    built = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        return f"fsync can't be made to fail: {built.stderr.strip()}"
    return {"LD_PRELOAD": str(library)}


def why_no_mount() -> str:
    """Says why file systems can't be mounted here; empty: they can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "a disk can't be made full: that takes Linux and root"
    with tempfile.TemporaryDirectory() as folder:
        reason = _mount(Path(folder), 1024 * 1024)
        if reason:
            return f"a disk can't be made full: {reason}"
        _unmount(Path(folder))
    return ""


class SmallDisk:
    """Puts a folder, which nobody may use meanwhile, onto a file system that is a little larger than its content."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._aside = folder.with_name(folder.name + ".aside")

    def mount(self) -> None:
        used = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        self.folder.rename(self._aside)
        self.folder.mkdir()
        reason = _mount(self.folder, used + SPARE_SIZE_BYTES)
        if reason:
            self.folder.rmdir()
            self._aside.rename(self.folder)
            raise OSError(reason)
        shutil.copytree(self._aside, self.folder, dirs_exist_ok=True)

    def fill(self) -> None:
        """Leaves next to nothing."""
        with (self.folder / FILLER).open("wb", buffering=0) as file:
            state = os.statvfs(self.folder)
            free = state.f_bavail * state.f_frsize
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, free - LEFT_SIZE_BYTES))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def clear(self) -> None:
        (self.folder / FILLER).unlink(missing_ok=True)

    def unmount(self) -> None:
        """Brings the content back to where it was."""
        self.clear()
        shutil.rmtree(self._aside)
        shutil.copytree(self.folder, self._aside)
        _unmount(self.folder)
        self.folder.rmdir()
        self._aside.rename(self.folder)


def _mount(folder: Path, size_bytes: int) -> str:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return done.stderr.strip() or "mount failed" if done.returncode else ""


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def abandon(folder: Path) -> None:
    """Unmounts whatever is still mounted there, at the end of everything."""
    with contextlib.suppress(subprocess.CalledProcessError):
        _unmount(folder)
