"""Fixtures for pytest, there as soon as the client is installed with the extra `pytest`.

The processes start once for each run of the tests; each test finds them all running and empty.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coordinator_client.testing.nodes import Node, Nodes

CLUSTER_SIZE = 3


@pytest.fixture(scope="session")
def _coordinator_single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    yield from _running(tmp_path_factory, "coordinator-node", 1)


@pytest.fixture(scope="session")
def _coordinator_several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    yield from _running(tmp_path_factory, "coordinator-cluster", CLUSTER_SIZE)


@pytest.fixture
def coordinator_node(_coordinator_single: Nodes) -> Node:
    """One real node without keys and sessions: `coordinator_node.endpoint` is where to connect."""
    _coordinator_single.recover()
    _coordinator_single.clear()
    return _coordinator_single[0]


@pytest.fixture
def coordinator_cluster(_coordinator_several: Nodes) -> Nodes:
    """Three real nodes without keys and sessions, to be killed and paused at will."""
    _coordinator_several.recover()
    _coordinator_several.clear()
    return _coordinator_several


def _running(factory: pytest.TempPathFactory, name: str, count: int) -> Iterator[Nodes]:
    with Nodes(factory.mktemp(name), count) as nodes:
        yield nodes
