"""Every code block of the documentation is run, compared or checked; CONTRIBUTING.md says what a block may be."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from coordinator import settings
from coordinator_client import connect, errors
from scripts.localcluster.layout import PORTS_PER_NODE, plan_next_node
from tests.cluster.harness import Cluster, find_base_port

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SLOW_EXAMPLES = ("database_primary.py", "http_servers.py")
"""They wait until somebody who hangs or drains is out of the way."""
TIMEOUT_S = 60.0
BASE_PORT = 2379
FENCE = re.compile(r"^(?P<indent> *)(?P<marks>`{3,})(?P<words>[^`]*)$")
RUNNABLE = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    """What follows the language on the opening fence."""
    text: str
    output: str | None = None
    """Of a block that runs: the text block that follows it at once, which its output has to match."""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}-{self.language}"

    def option(self, name: str) -> str | None:
        found = (word.partition("=") for word in self.words)
        return next((value for key, _, value in found if key == name), None)


def read_blocks(page: Path) -> list[Block]:
    """Returns the code blocks of a page, in order; fails on one that is never closed."""
    blocks: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    number, previous_end = 0, -10
    while number < len(lines):
        opening = FENCE.match(lines[number])
        number += 1
        if opening is None:
            continue
        start = number
        closing = opening["indent"] + opening["marks"]
        while number < len(lines) and lines[number] != closing:
            number += 1
        assert number < len(lines), f"{page.name}:{start}: the block is never closed"
        indent = len(opening["indent"])
        text = "".join(line[indent:] + "\n" for line in lines[start:number])
        language, *words = shlex.split(opening["words"]) or [""]
        follows = start - 1 <= previous_end + 2 and not "".join(lines[previous_end : start - 1])
        if language == "text" and follows and blocks and blocks[-1].language in RUNNABLE:
            blocks[-1] = replace(blocks[-1], output=text)
        else:
            blocks.append(Block(page, start, language, tuple(words), text))
        number += 1
        previous_end = number
    return blocks


BLOCKS = [block for page in PAGES for block in read_blocks(page)]


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes that all blocks share."""
    cluster = Cluster(tmp_path_factory.mktemp("docs") / "cluster")
    try:
        cluster.start(3)
        yield cluster
        cluster.wait_digests_equal()
    finally:
        cluster.close()


def empty(cluster: Cluster) -> None:
    """Removes what the block before left behind, so that each stands for itself."""
    with connect(cluster.endpoints) as client:
        for session in client.sessions():
            # Those of the nodes' own end by themselves when nothing is to be checked any more.
            with contextlib.suppress(errors.SessionNotFound):
                client.close_session(session.id)
        client.delete("", prefix=True)


def environment(cluster: Cluster, folder: Path) -> dict[str, str]:
    outside = {
        name: value
        for name, value in os.environ.items()
        # What `make test` was called with is not meant for the make of a block.
        if not name.startswith(("MAKE", "MFLAGS"))
    }
    return outside | {
        "COORDINATOR_ENDPOINTS": ",".join(cluster.endpoints),
        "COORDINATOR_CLUSTER_DIR": str(cluster.path),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        # Of make: lets a block start a cluster although the default ports may be in use.
        "ARGS": f"--data-dir {folder / 'made'} --base-port {find_base_port(3)}",
    }


def with_real_ports(text: str, cluster: Cluster) -> str:
    """Puts the addresses of the test's cluster, and of a node that joins it, where the default ones are shown."""
    nodes = [*cluster.nodes, plan_next_node(cluster.path, cluster.nodes)]
    for number, node in enumerate(nodes):
        port = BASE_PORT + PORTS_PER_NODE * number
        text = re.sub(rf"127\.0\.0\.1:{port}\b", node.client, text)
        text = re.sub(rf"127\.0\.0\.1:{port + 1}\b", node.peer, text)
    return text


def pattern_of(expected: str) -> str:
    """Returns the regular expression of expected output, in which `...` stands for anything."""
    lines = []
    for line in expected.splitlines(keepends=True):
        if line.strip() == "...":
            lines.append(r"(?:.*\n)*?")
        else:
            words = re.split(r"( +)", line)
            # Columns are as wide as their widest cell, so two blanks stand for any number of them.
            lines.append(
                "".join(" +" if len(w) > 1 and not w.strip(" ") else glob(w) for w in words)
            )
    return "".join(lines)


def glob(text: str) -> str:
    return ".*".join(map(re.escape, text.split("...")))


def assert_matches(output: str, expected: str) -> None:
    plain = "".join(line.rstrip() + "\n" for line in output.splitlines())
    assert re.fullmatch(pattern_of(expected), plain), f"printed:\n{plain}\nexpected:\n{expected}"


def run_block(block: Block, cluster: Cluster, folder: Path) -> None:
    variables = environment(cluster, folder)
    folder = ROOT if "checkout" in block.words else folder
    command = [*RUNNABLE[block.language], with_real_ports(block.text, cluster)]
    expected = None if block.output is None else with_real_ports(block.output, cluster)
    until = block.option("until")
    if until is None:
        done = subprocess.run(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        output = done.stdout
    else:
        output = run_until(command, variables, folder, until)
    if expected is not None:
        assert_matches(output, expected)


def run_until(command: list[str], variables: dict[str, str], folder: Path, until: str) -> str:
    """Runs a program that does not end by itself, and ends it as Ctrl-C does once it printed `until`."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        output = ""
        try:
            for line in running.stdout:
                output += line
                if until in line:
                    break
        finally:
            os.killpg(running.pid, signal.SIGINT)
        output += running.communicate(timeout=TIMEOUT_S)[0]
    assert until in output, output
    return output


@pytest.mark.parametrize("block", of(*RUNNABLE), ids=str)
def test_block_runs(block: Block, live: Cluster, tmp_path: Path) -> None:
    if "own-cluster" not in block.words:
        empty(live)
        run_block(block, live, tmp_path)
        return
    cluster = Cluster(tmp_path / "cluster")
    try:
        cluster.start(3)
        run_block(block, cluster, tmp_path)
    finally:
        cluster.close()


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    # Either one document, or one a line.
    try:
        json.loads(block.text)
    except ValueError:
        for line in block.text.splitlines():
            json.loads(line)


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_toml_is_a_configuration(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "coordinator.toml"
    file.write_text(block.text)
    settings.load({}, environment={}, file=str(file))


@pytest.mark.parametrize("block", of("proto"), ids=str)
def test_proto_is_what_the_api_says(block: Block) -> None:
    real = " ".join(
        plain_proto(path.read_text()) for path in sorted((ROOT / "proto").glob("*.proto"))
    )
    for part in block.text.split("..."):
        assert plain_proto(part) in real, f"proto/ has nothing like\n{part}"


def plain_proto(text: str) -> str:
    return " ".join(re.sub(r"//.*", "", text).split())


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    known = {*RUNNABLE, "json", "toml", "proto", "text"}
    strange = [
        str(block)
        for block in BLOCKS
        if block.language not in known
        or any(
            word.partition("=")[0] not in ("checkout", "own-cluster", "until")
            for word in block.words
        )
    ]
    assert not strange, "see CONTRIBUTING.md for what a block may be"


def test_links_lead_somewhere() -> None:
    broken = []
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        prose = re.sub(r"`[^`]*`", "", page.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert not broken


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.full] if path.name in SLOW_EXAMPLES else [])
        for path in EXAMPLES
    ],
    ids=[path.name for path in EXAMPLES],
)
def test_example_runs(path: Path, live: Cluster, tmp_path: Path) -> None:
    """An example ends by itself, and prints what its docstring says it prints."""
    empty(live)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(path)],
        env=environment(live, tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    promised = re.search(r"It prints\n\n((?: {4}.*\n)+)", path.read_text(encoding="utf-8"))
    assert promised, "the docstring must say what it prints"
    expected = re.sub(r"^ {4}", "", promised[1], flags=re.MULTILINE)
    assert_matches(done.stdout, expected)
    assert time.monotonic() - started < 20


def test_expected_output_matches_only_what_it_should() -> None:
    for output, expected, fine in [
        ("a\n", "a\n", True),
        ("a\nb\n", "a\n", False),
        ("a 1 z\n", "a ... z\n", True),
        ("a\nb\nc\n", "a\n...\nc\n", True),
        ("a\nc\n", "a\n...\nc\n", True),
        ("a\nd\n", "a\n...\nc\n", False),
        ("NAME      X\n", "NAME  X\n", True),
    ]:
        assert bool(re.fullmatch(pattern_of(expected), output)) == fine, (output, expected)
