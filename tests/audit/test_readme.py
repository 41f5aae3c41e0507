"""README.md lists the scenarios; this keeps list and tests together."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
CONSENSUS = FOLDER.parents[1] / "coordinator" / "consensus"
ROW = re.compile(r"^\| \w+ \| [SXLO ]+ \| [^|]+ \| `(test_\w+)` \| (.+) \|$", re.MULTILINE)


def scenarios() -> set[str]:
    return {
        node.name
        for path in FOLDER.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.AsyncFunctionDef)
        and any(isinstance(one, ast.Name) and one.id == "scenario" for one in node.decorator_list)
    }


def rows() -> list[tuple[str, str]]:
    return ROW.findall((FOLDER / "README.md").read_text(encoding="utf-8"))


def test_every_scenario_is_listed_once() -> None:
    names = [name for name, _ in rows()]
    assert len(names) == len(set(names)) > 40
    assert set(names) == scenarios()


def test_cures_name_modules_that_are_there() -> None:
    for name, cure in rows():
        modules = re.findall(r"`([\w/]+)`", cure)
        assert modules, name
        for module in modules:
            root = CONSENSUS.parents[1] if module.startswith("coordinator/") else CONSENSUS
            assert (root / f"{module}.py").is_file(), (name, module)
