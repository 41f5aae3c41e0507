"""Two stores, each a member of its own cluster with etcd's services."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from coordinator.config import Limits
from tests.unit.gateways.etcd.conftest import Etcd, serving


@pytest.fixture
async def stores() -> AsyncIterator[tuple[Etcd, Etcd]]:
    async for source in serving(Limits()):
        async for target in serving(Limits()):
            yield source, target
