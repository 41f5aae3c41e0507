"""The pinned release, and the list of what is used of it."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
from pathlib import Path
from typing import Any

import pysyncobj.syncobj
import pytest
from pysyncobj import SyncObj

from coordinator.consensus.engine import core, pin
from coordinator.errors import FatalError

ROOM = Path(core.__file__).parent.parent
PRIVATE = "_SyncObj__"
SIGNATURES = {
    "__init__": (
        "(self, selfNode, otherNodes, conf=None, consumers=None, nodeClass=<TCPNode>, "
        "transport=None, transportClass=<TCPTransport>)"
    ),
    "_SyncObj__getEntries": "(self, fromIDx, count=None, maxSizeBytes=None)",
    "_SyncObj__sendAppendEntries": "(self)",
    "_SyncObj__sendNextNodeIdx": "(self, node, reset=False, nextNodeIdx=None, success=False)",
    "_SyncObj__applyLogEntries": "(self)",
    "_SyncObj__connectedToAnyone": "(self)",
    "_SyncObj__doApplyCommand": "(self, command)",
    "_SyncObj__loadDumpFile": "(self, clearJournal)",
    "_SyncObj__parseChangeClusterRequest": "(self, command)",
    "_SyncObj__tryLogCompaction": "(self)",
    "_SyncObj__onBecomeLeader": "(self)",
    "_SyncObj__setState": "(self, newState)",
    "_applyCommand": "(self, command, callback, commandType=None)",
    "_checkCommandsToApply": "(self)",
    "doTick": "(self, timeToWait=0.0)",
    "_SyncObj__onMessageReceived": "(self, node, message)",
    "_SyncObj__setCurrentTerm": "(self, term, votedForNodeId)",
    "_SyncObj__generateRaftTimeout": "(self)",
}


def documented() -> dict[str, str]:
    """The table of DESIGN.md: name to how it is used."""
    text = (ROOM / "DESIGN.md").read_text()
    table = text.split("## What is used of `SyncObj`")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", table, re.MULTILINE)
    return {name.replace("X:", PRIVATE): how for name, how in rows}


def used_in_core() -> set[str]:
    """Every name of the inside of pysyncobj that core.py mentions."""
    tree = ast.parse(Path(core.__file__).read_text())
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    defined = {
        node.name
        for cls in tree.body
        if isinstance(cls, ast.ClassDef) and cls.name == "Core"
        for node in cls.body
        if isinstance(node, ast.FunctionDef)
    }
    public = {"doTick", "conf", "createJournal", "monotonicTime", "_RAFT_STATE", "_poller"}
    overridden = {name for name in defined if hasattr(SyncObj, name) and not name.startswith("__")}
    return {name for name in names if name.startswith(PRIVATE) or name in public} | overridden


def signature_of(name: str) -> str:
    text = str(inspect.signature(getattr(SyncObj, name)))
    return re.sub(r"<class '[\w.]+\.(\w+)'>", r"<\1>", text)


def test_the_installed_release_is_the_pinned_one() -> None:
    pin.check_release()
    source = Path(pysyncobj.syncobj.__file__).read_bytes()
    assert hashlib.sha256(source).hexdigest() == pin.SOURCE_SHA256


def test_another_version_stops_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pysyncobj.syncobj, "VERSION", "0.3.18")
    with pytest.raises(FatalError, match=r"install pysyncobj==0\.3\.17"):
        pin.check_release()


def test_another_source_stops_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    changed = tmp_path / "syncobj.py"
    changed.write_bytes(Path(pysyncobj.syncobj.__file__).read_bytes() + b"\n")
    monkeypatch.setattr(pysyncobj.syncobj, "__file__", str(changed))
    with pytest.raises(FatalError, match="is not the released one"):
        pin.check_release()


def test_the_design_lists_exactly_what_the_core_uses() -> None:
    assert set(documented()) == used_in_core()


@pytest.mark.parametrize("name", sorted(documented()))
def test_each_name_exists_in_the_release(name: str) -> None:
    source = inspect.getsource(pysyncobj.syncobj)
    if name.startswith(PRIVATE):
        assert re.search(rf"\b(self\.|def )__{name.removeprefix(PRIVATE)}\b", source)
    else:
        public = hasattr(SyncObj, name) or hasattr(pysyncobj.syncobj, name)
        assert public or f"self.{name}." in source
    if "overridden" in documented()[name] or "called" in documented()[name]:
        assert name in SIGNATURES or not hasattr(SyncObj, name)


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_each_signature_is_as_expected(name: str) -> None:
    assert signature_of(name) == SIGNATURES[name]


@pytest.mark.parametrize(
    "name", sorted(name for name, how in documented().items() if "overridden" in how)
)
def test_each_override_takes_what_the_original_takes(name: str) -> None:
    def arity(method: Any) -> list[str]:
        return [parameter.name for parameter in inspect.signature(method).parameters.values()]

    if name != "_applyCommand":  # It refuses whatever it is given.
        assert arity(getattr(core.Core, name)) == arity(getattr(SyncObj, name))


def test_only_the_core_and_its_neighbours_import_it() -> None:
    importing = {
        path.relative_to(ROOM).as_posix()
        for path in ROOM.rglob("*.py")
        if re.search(r"^(import|from) pysyncobj", path.read_text(), re.MULTILINE)
    }
    assert importing == {
        "engine/core.py",
        "engine/log.py",
        "engine/pin.py",
        "engine/stand_ins.py",
    }
