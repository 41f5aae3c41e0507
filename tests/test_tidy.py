"""The house rules, as one test: what a linter does not know about this project.

Each complaint names the file, the rule and the way out. The rules themselves are explained in CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.rooms import (
    COMPOSITION,
    ROOMS,
    admits,
    complain_about_client_import,
    complain_about_import,
)

ROOT = Path(__file__).resolve().parent.parent
SERVER = ROOT / "coordinator"
CLIENT = ROOT / "client" / "coordinator_client"
TREES = ("coordinator", "client/coordinator_client", "tests", "scripts", "examples", "benchmarks")
TOP_LEVEL = ("Makefile", ".ci/run", "pyproject.toml", "client/pyproject.toml")
GENERATED = ("pb", "_sync")
"""Folders of generated code: their sources are what is checked."""

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
BANNED_WORDS = frozenset(
    {"util", "helper", "common", "misc", "manager", "handler", "base", "info", "data", "process"}
)
"""In the singular; words are compared without a closing s."""
BANNED_MODULES = frozenset({"pickle", "cPickle", "shelve", "marshal", "dill", "cloudpickle"})
BANNED_CALLS = frozenset({"eval", "exec", "compile", "__import__"})
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
MACHINE_PATHS = re.compile(r"(?<![\w.~$}*/-])/(" + "|".join(("work", "root", "home")) + r")/\w")


@dataclass(frozen=True)
class Source:
    """A Python file of ours, read and parsed once."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def module(self) -> str:
        """The dotted name below `coordinator/` or `client/coordinator_client/`."""
        parent = SERVER if self.path.is_relative_to(SERVER) else CLIENT
        parts = self.path.relative_to(parent).with_suffix("").parts
        return ".".join(part for part in parts if part != "__init__")


def is_python(path: Path) -> bool:
    if path.suffix:
        return path.suffix == ".py"
    with path.open("rb") as file:
        return b"python" in file.readline() if path.parent == ROOT / "scripts" else False


def find_files(*trees: str) -> list[Path]:
    """Files of ours, generated ones left out."""
    return [
        path
        for tree in trees
        for path in sorted((ROOT / tree).rglob("*"))
        if path.is_file()
        and "__pycache__" not in path.parts
        and not set(path.relative_to(ROOT).parts) & set(GENERATED)
    ]


def read_source(path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    return Source(path, text, ast.parse(text, str(path)))


SOURCES = [read_source(path) for path in find_files(*TREES) if is_python(path)]


def imports_of(source: Source) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that is imported, relative imports made absolute."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                package = source.path.relative_to(ROOT).parts[: -node.level]
                origin = ".".join(part for part in (*package, origin) if part)
                origin = origin.removeprefix("client.")
            # `from coordinator.node import interface` names a module only together with the name.
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def report(complaints: list[str]) -> None:
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


def words_of(name: str) -> set[str]:
    """The words of a snake_case or CamelCase name, in lower case and in the singular."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return {re.sub(r"((?<=ss)e)?(?<!s)s$", "", word.lower()) for word in words}


def test_server_rooms_import_only_what_they_may() -> None:
    report(
        [
            f"{source.name}:{line}: {complaint}"
            for source in SOURCES
            if source.path.is_relative_to(SERVER)
            for line, imported in imports_of(source)
            if (complaint := complain_about_import(source.module, imported))
        ]
    )


def test_every_server_module_is_in_a_room() -> None:
    report(
        [
            f"{source.name}: belongs to no room: add its room to tests/rooms.py and docs/architecture.md"
            for source in SOURCES
            if source.path.is_relative_to(SERVER)
            and source.module not in COMPOSITION
            and not admits(set(ROOMS), source.module)
        ]
    )


def test_client_imports_only_what_it_may() -> None:
    report(
        [
            f"{source.name}:{line}: {complaint}"
            for source in SOURCES
            if source.path.is_relative_to(CLIENT)
            for line, imported in imports_of(source)
            if (complaint := complain_about_client_import(source.module, imported))
        ]
    )


@pytest.mark.parametrize(
    ("module", "imported", "fine"),
    [
        ("state.machine", "coordinator.state.model.Key", True),
        ("state.machine", "time.monotonic", False),
        ("state.machine", "coordinator.config.Limits", False),
        ("state.machine", "pysyncobj", False),
        ("node.member", "coordinator.consensus.interface.Role", True),
        ("node.member", "coordinator.consensus.engine.raft", False),
        ("consensus.journal", "pysyncobj.journal", False),
        ("consensus.engine.raft", "pysyncobj.journal", True),
        ("api.kv", "coordinator.node.member", False),
        ("api.kv", "coordinator_client.pb.kv_pb2", True),
        ("api.kv", "coordinator_client.connect", False),
        ("server", "coordinator.consensus.engine.raft", True),
    ],
)
def test_import_rule(module: str, imported: str, fine: bool) -> None:
    assert (complain_about_import(module, imported) is None) == fine


def test_files_are_short() -> None:
    report(
        [
            f"{source.name}: {lines} lines, at most {FILE_LINES_MAX}: split it along its nouns"
            for source in SOURCES
            if (lines := source.text.count("\n")) > FILE_LINES_MAX
        ]
    )


def test_functions_are_short() -> None:
    report(
        [
            f"{source.name}:{node.lineno}: {node.name} has {lines} lines, at most"
            f" {FUNCTION_LINES_MAX}: give its parts names"
            for source in SOURCES
            for node in ast.walk(source.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
        ]
    )


def test_names_say_something() -> None:
    remedy = "say what it does or holds"
    files = [
        f"{source.name}: file name with {found.pop()!r}: {remedy}"
        for source in SOURCES
        if (found := words_of(source.path.stem) & BANNED_WORDS)
    ]
    classes = [
        f"{source.name}:{node.lineno}: class {node.name} with {found.pop()!r}: {remedy}"
        for source in SOURCES
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and (found := words_of(node.name) & BANNED_WORDS)
    ]
    report(files + classes)


def test_word_rule() -> None:
    assert words_of("HTTPHandlerBase2") == {"http", "handler", "base"}
    assert words_of("log_utils") & BANNED_WORDS == {"util"}
    assert words_of("ChildProcesses") & words_of("process") == {"process"}
    assert not words_of("Database") & BANNED_WORDS


def test_nothing_is_left_unfinished_or_bound_to_a_machine() -> None:
    texts = [
        *find_files(*TREES, "docs", "proto"),
        *(ROOT / name for name in TOP_LEVEL),
        *ROOT.glob("*.md"),
    ]
    complaints = []
    for path in texts:
        name = path.relative_to(ROOT).as_posix()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if found := UNFINISHED.search(line):
                complaints.append(f"{name}:{number}: {found[0]}: finish it, or open an issue")
            if found := MACHINE_PATHS.search(line):
                complaints.append(f"{name}:{number}: {found[0]}…: no paths of one machine")
    report(complaints)


def test_nothing_runs_code_from_bytes() -> None:
    remedy = "decode with msgspec or protobuf into typed values"
    imports = [
        f"{source.name}:{line}: imports {imported}: {remedy}"
        for source in SOURCES
        for line, imported in imports_of(source)
        if imported.partition(".")[0] in BANNED_MODULES
    ]
    calls = [
        f"{source.name}:{node.lineno}: calls {node.func.id}: {remedy}"
        for source in SOURCES
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in BANNED_CALLS
    ]
    report(imports + calls)


def test_type_ignores_name_a_code_and_a_reason() -> None:
    bare = re.compile(r"#\s*type:\s*ignore(?!\[[\w-]+(,\s*[\w-]+)*\]\s+\S)")
    report(
        [
            f"{source.name}:{number}: write `# type: ignore[code]  # reason`"
            for source in SOURCES
            if source.path != Path(__file__)
            for number, line in enumerate(source.text.splitlines(), 1)
            if bare.search(line)
        ]
    )


def only_declares(tree: ast.Module) -> bool:
    """Whether no function of a module does anything: protocols, plain records, constants."""
    return not any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not all(isinstance(part, ast.Expr | ast.Pass) for part in node.body)
        for node in ast.walk(tree)
    )


def test_every_module_that_does_something_has_a_test_file() -> None:
    """Modules of the same name need as many: test_<module>.py in other folders, or test_<word>_<module>.py."""
    tests = [path.stem for path in find_files("tests")]
    modules: dict[str, list[str]] = {}
    for source in SOURCES:
        ours = source.path.is_relative_to(SERVER) or source.path.is_relative_to(CLIENT)
        if ours and not source.path.stem.startswith("__") and not only_declares(source.tree):
            modules.setdefault(source.path.stem.lstrip("_"), []).append(source.name)
    report(
        [
            f"{', '.join(names)}: {len(found)} test_{stem}.py below tests/: every module has its own"
            for stem, names in sorted(modules.items())
            if len(found := [t for t in tests if re.fullmatch(rf"test_(\w+_)?{stem}", t)])
            < len(names)
        ]
    )


@pytest.mark.parametrize(
    ("project", "package"),
    [(ROOT / "pyproject.toml", SERVER), (ROOT / "client" / "pyproject.toml", CLIENT)],
    ids=["server", "client"],
)
def test_every_package_is_shipped(project: Path, package: Path) -> None:
    listed = set(tomllib.loads(project.read_text())["tool"]["setuptools"]["packages"])
    present = {
        ".".join(path.parent.relative_to(package.parent).parts)
        for path in package.rglob("*.py")
        if "__pycache__" not in path.parts
    }
    name = project.relative_to(ROOT)
    report(
        [
            *(f"{name}: does not list package {item}" for item in sorted(present - listed)),
            *(f"{name}: lists package {item}, not there" for item in sorted(listed - present)),
        ]
    )
