from __future__ import annotations

import pytest

from coordinator.state.history import History
from coordinator.state.model import Batch


@pytest.fixture
def history() -> History:
    """Revisions 2 to 6, of hashes 1, 2, 4, 8, 16 and sizes 10, 20, 30, 40, 50."""
    history = History(2)
    for place in range(5):
        history.add(Batch(2 + place, ()), 1 << place, 10 * (place + 1))
    return history


@pytest.mark.parametrize("freed", [0, 1, 2])
def test_sums_since_a_revision(history: History, freed: int) -> None:
    history.free(freed)
    assert (len(history), history.first_revision) == (5 - freed, 2 + freed)
    assert [history.hash_since(revision) for revision in (3, 4, 5, 6)] == [28, 24, 16, 0]
    assert [history.size_since(revision) for revision in (3, 4, 5, 6)] == [120, 90, 50, 0]
    assert [batch.revision for batch in history.slice(4, 2)] == [4, 5]
    assert [batch.revision for batch in history.slice(6, 2)] == [6]
    assert history.slice(7, 2) == []


@pytest.mark.parametrize("freed", [0, 2])
def test_least_revision_since_which_all_fits(history: History, freed: int) -> None:
    history.free(freed)
    for size, revision in (
        (0, 6),
        (49, 6),
        (50, 5),
        (89, 5),
        (90, 4),
        (139, 3),
        (140, 2),
        (149, 2),
    ):
        assert history.least_since(size) == max(revision, freed + 1)
    for size in (150, 10**9):
        assert history.least_since(size) == 1 + freed


def test_what_is_freed_can_not_be_sliced(history: History) -> None:
    history.free(1)
    with pytest.raises(AssertionError):
        history.slice(2, 1)
    history.free(4)
    assert (history.slice(7, 9), history.hash_since(6), history.size_since(6)) == ([], 0, 0)
