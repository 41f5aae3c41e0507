"""A real etcd and a node of ours, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from coordinator_client.testing.nodes import Nodes
from tests.etcd import peers
from tests.etcd.remote import Remote


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Remote, Remote]]:
    """A real etcd and a node of ours, both empty."""
    folder = tmp_path_factory.mktemp("etcd")
    with ExitStack() as stack:
        theirs = stack.enter_context(peers.etcd(folder / "etcd"))
        nodes = stack.enter_context(Nodes(folder / "ours", 1))
        yield (
            stack.enter_context(Remote(theirs)),
            stack.enter_context(Remote(nodes[0].endpoint)),
        )
