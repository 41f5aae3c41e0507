"""Tests of the tests: each mechanism that keeps a promise is taken away, and some test must notice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutations import (
    checks,
    connections,
    elections,
    entries,
    fronts,
    members,
    node,
    services,
    storage,
)
from tests.mutations.mutation import ROOT, Mutation, complain, copy_checkout, run_mutated

MUTATIONS = [
    *elections.MUTATIONS,
    *entries.MUTATIONS,
    *members.MUTATIONS,
    *storage.MUTATIONS,
    *node.MUTATIONS,
    *services.MUTATIONS,
    *checks.MUTATIONS,
    *connections.MUTATIONS,
    *fronts.MUTATIONS,
]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, for this file alone."""
    folder = tmp_path_factory.mktemp("mutated") / "checkout"
    copy_checkout(folder)
    return folder


def test_the_list_is_up_to_date() -> None:
    complaints = [complaint for mutation in MUTATIONS if (complaint := complain(mutation))]
    complaints += [
        f"{mutation.name}: there is no {name}"
        for mutation in MUTATIONS
        for name in mutation.tests.split()
        if not (ROOT / name.partition("::")[0]).exists()
    ]
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


def test_names_are_unique() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


def test_a_text_that_is_gone_is_told() -> None:
    gone = replace(MUTATIONS[0], old="what was never there")
    complaint = complain(gone)
    assert complaint is not None
    assert gone.file in complaint


@pytest.mark.full
def test_what_changes_nothing_survives(checkout: Path) -> None:
    tests = "tests/unit/consensus/test_configuration.py"
    harmless = Mutation("harmless", "coordinator/errors.py", "import enum", "import enum ", tests)
    found = run_mutated(harmless, checkout)
    assert found is not None
    assert "survived" in found


@pytest.mark.full
def test_what_can_not_be_run_is_no_success(checkout: Path) -> None:
    tests = "tests/unit/consensus/test_configuration.py"
    broken = Mutation("broken", "coordinator/errors.py", "import enum", "import", tests)
    found = run_mutated(broken, checkout)
    assert found is not None
    assert "could not be run" in found


@pytest.mark.full
@pytest.mark.timeout(180)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_is_noticed(mutation: Mutation, checkout: Path) -> None:
    if (complaint := complain(mutation) or run_mutated(mutation, checkout)) is not None:
        pytest.fail(complaint, pytrace=False)
