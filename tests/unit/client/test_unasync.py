from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import unasync

SCRIPT = Path(unasync.__file__)


@pytest.mark.parametrize(
    ("text", "blocking"),
    [
        ("async def f() -> None: ...", "def f() -> None: ..."),
        ("return await (await g()).h()", "return (g()).h()"),
        ("async with a as b, c:", "with a as b, c:"),
        ("async for x in y:", "for x in y:"),
        ("[x async for x in y]", "[x for x in y]"),
        ("def __aiter__(self): ...", "def __iter__(self): ..."),
        ("async def __aexit__(self): ...", "def __exit__(self): ..."),
        ("raise StopAsyncIteration from None", "raise StopIteration from None"),
        ("from collections.abc import AsyncIterator", "from collections.abc import Iterator"),
        (
            "from coordinator_client import _io_async as io",
            "from coordinator_client import _io_sync as io",
        ),
        (
            "from coordinator_client._async.watch import Watch",
            "from coordinator_client._sync.watch import Watch",
        ),
        ('"""Examples: `await client.get()`."""', '"""Examples: `client.get()`."""'),
        ("not_async = awaited", "not_async = awaited"),
    ],
)
def test_words_are_replaced(text: str, blocking: str) -> None:
    assert unasync.translate(text) == blocking


@pytest.mark.parametrize("text", ["import asyncio", "async\n", "# an aio face", "x = await\n"])
def test_what_has_no_twin_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        unasync.translate(text)


def test_the_committed_face_is_what_the_source_generates(tmp_path: Path) -> None:
    assert unasync.find_differences() == {}
    unasync.generate_blocking_face(tmp_path)
    written = {path.name: path.read_text() for path in (tmp_path / unasync.BLOCKING).iterdir()}
    committed = (unasync.CLIENT / unasync.BLOCKING).glob("*.py")
    assert written == {path.name: path.read_text() for path in committed}


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "scripts" / "unasync.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_check_names_what_differs_and_changes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "client" / unasync.SOURCE
    target = tmp_path / "client" / unasync.BLOCKING
    source.mkdir(parents=True)
    target.mkdir()
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    (source / "one.py").write_text("async def f() -> None:\n    await f()\n")
    (target / "two.py").write_text("old\n")
    done = run(tmp_path, "--check")
    assert done.returncode == 1
    assert "one.py" in done.stderr and "two.py" in done.stderr
    assert [path.name for path in target.iterdir()] == ["two.py"]
    assert run(tmp_path).returncode == 0
    assert [path.name for path in target.iterdir()] == ["one.py"]
    assert "def f() -> None:\n    f()\n" in (target / "one.py").read_text()
    assert run(tmp_path, "--check").returncode == 0


def test_what_can_not_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def (:\n")
    with pytest.raises(RuntimeError, match=r"broken\.py"):
        unasync.generate_file(tmp_path / "broken.py")
    (tmp_path / "foreign.py").write_text("import asyncio\n")
    with pytest.raises(ValueError, match=r"foreign\.py, line 1"):
        unasync.generate_file(tmp_path / "foreign.py")
