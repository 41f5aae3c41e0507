"""Random programs against a real etcd and a node of ours: every answer and every event is compared.

PROGRAMS says how many, SEED with which they begin; `python -m pytest tests/etcd` prints the seed of one that differs.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.etcd import peers
from tests.etcd.comparison import differences, run
from tests.etcd.programs import Writer
from tests.etcd.remote import Remote

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not peers.installed(), reason="there is no etcd here: make test-etcd"),
    pytest.mark.timeout(3_600),
]

PROGRAMS = int(os.environ.get("PROGRAMS") or 100)
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 20))


def test_programs_come_to_the_same(pair: tuple[Remote, Remote]) -> None:
    theirs, ours = pair
    for seed in range(SEED, SEED + PROGRAMS):
        revision = theirs.revision()
        assert ours.revision() == revision, f"seed {seed}"
        program = Writer(seed, revision).write()
        found = list(
            differences(program, run(theirs, program, revision), run(ours, program, revision))
        )
        assert not found, f"seed {seed}:\n" + "\n".join(found)
