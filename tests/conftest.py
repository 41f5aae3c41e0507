"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# Machines that run tests are busy; how long one example takes says nothing.
settings.register_profile("coordinator", deadline=None, print_blob=True)
settings.load_profile("coordinator")

# Nobody's settings but those of a test itself decide how a server or a client begins.
for _name in [name for name in os.environ if name.startswith("COORDINATOR_")]:
    del os.environ[_name]
