"""`coordctl snapshot save`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coordinator_client import SavedSnapshot, errors
from tests.unit.cli.conftest import Coordctl

SAVED = SavedSnapshot("f", 1, 2, 10, 3, 7, 3 << 20, "ab")


def save(path: str, progress: Callable[[int, int], None]) -> SavedSnapshot:
    progress(1 << 20, 3 << 20)
    progress(3 << 20, 3 << 20)
    return SAVED


def test_progress_goes_to_standard_error_and_the_result_to_output(coordctl: Coordctl) -> None:
    coordctl.client.answers["save_snapshot"] = save
    done = coordctl.run("snapshot", "save", "f")
    assert done.stdout == ("saved f  revision 7  index 10  term 3  3145728 bytes  blake2b ab\n")
    assert done.stderr.splitlines() == ["1.0 of 3.0 MiB, 33 %", "3.0 of 3.0 MiB, 100 %"]
    shown: Any = coordctl.json("snapshot", "save", "f")
    assert (shown["path"], shown["revision"], shown["checksum"]) == ("f", 7, "ab")


def test_what_goes_wrong_is_a_sentence_and_a_code(coordctl: Coordctl) -> None:
    answers = coordctl.client.answers
    answers["save_snapshot"] = FileNotFoundError(2, "No such file or directory")
    assert "can't write f: No such" in coordctl.run("snapshot", "save", "f", code=1).stderr
    answers["save_snapshot"] = errors.DeadlineExceeded("it took too long")
    assert "too long" in coordctl.run("snapshot", "save", "f", code=4).stderr
