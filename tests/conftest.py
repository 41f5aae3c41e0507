"""What all tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# Machines that run tests are busy; how long one example takes says nothing.
settings.register_profile("coordinator", deadline=None, print_blob=True)
settings.load_profile("coordinator")

# Nobody's settings but those of a test itself decide how a server or a client begins; which of the hosts of gRPC is
# tested, in this process and in nodes that it starts, is said so.
for _name in [name for name in os.environ if name.startswith("COORDINATOR_")]:
    if _name != "COORDINATOR_GRPC_HOST":
        del os.environ[_name]

# Nor does it matter that whoever started the tests passes signals over, as nohup and shells without jobs do.
for _number, _action in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGTERM, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _action)

ALONE = tuple(Path(__file__).parent / room for room in ("cluster", "faults"))
"""Rooms whose long tests keep time: they want the machine for themselves."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("full") and any(
            item.path.is_relative_to(room) for room in ALONE
        ):
            item.add_marker("alone")
