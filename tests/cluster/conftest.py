"""Clusters for tests: one of its own for a test that harms nodes, a shared one for those that do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.harness import Cluster

LOG_LINES_SHOWN = 60


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Three nodes for one test, which may harm them; what is equal must be equal when it is over."""
    yield from run_cluster(tmp_path / "cluster", request)


@pytest.fixture(scope="module")
def shared_cluster(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Cluster]:
    """Three nodes for all tests of a file; each keeps to keys of its own and harms no node."""
    yield from run_cluster(tmp_path_factory.mktemp("shared") / "cluster", request)


def run_cluster(path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    cluster = Cluster(path)
    failed_before = request.session.testsfailed
    try:
        cluster.start(3)
        yield cluster
        if request.session.testsfailed == failed_before:
            cluster.recover()
            cluster.wait_digests_equal()
    except BaseException:
        show_logs(cluster)
        raise
    else:
        if request.session.testsfailed > failed_before:
            show_logs(cluster)
    finally:
        cluster.close()


def show_logs(cluster: Cluster) -> None:
    """Prints the end of each node's log, which pytest shows with the failure."""
    for i, node in enumerate(cluster.nodes, 1):
        print(f"--- log of {node.name}")
        print("\n".join(cluster.log(i).splitlines()[-LOG_LINES_SHOWN:]))
