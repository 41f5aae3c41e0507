"""A disk that is full, and an fsync that fails; where this machine can't, the tests say why."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.disks import SmallDisk, build_fsync_fault, why_no_mount


def test_a_small_disk_is_full_and_gives_back_what_it_held(tmp_path: Path) -> None:
    if reason := why_no_mount():
        pytest.skip(reason)
    folder = tmp_path / "d"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "kept").write_text("kept")
    disk = SmallDisk(folder)
    disk.mount()
    try:
        disk.fill()
        with pytest.raises(OSError) as caught, (folder / "new").open("wb", buffering=0) as file:
            for _ in range(64):
                file.write(bytes(4096))
        assert caught.value.errno == errno.ENOSPC
        disk.clear()
        (folder / "new").write_text("new")
    finally:
        disk.unmount()
    assert not os.path.ismount(folder)
    assert (folder / "sub" / "kept").read_text() == "kept"
    assert (folder / "new").read_text() == "new"
    assert not (folder / "filler").exists()


def test_fsync_fails_while_a_file_is_there(tmp_path: Path) -> None:
    environment = build_fsync_fault(tmp_path)
    if isinstance(environment, str):
        pytest.skip(environment)
    trigger = tmp_path / "trigger"
    program = (
        "import os, sys\n"
        "file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)\n"
        "for sync in (os.fsync, os.fdatasync):\n"
        "    try: sync(file); print('ok')\n"
        "    except OSError as error: print(error.errno)\n"
    )

    def run() -> list[str]:
        command = [sys.executable, "-c", program, str(tmp_path / "file")]
        variables = os.environ | environment | {"FAULT_FSYNC_TRIGGER": str(trigger)}
        return subprocess.run(
            command, env=variables, capture_output=True, text=True, check=True
        ).stdout.split()

    assert run() == ["ok", "ok"]
    trigger.touch()
    assert run() == [str(errno.EIO), str(errno.EIO)]
    trigger.unlink()
    assert run() == ["ok", "ok"]
