"""Where chance comes from in a simulation: one number, the seed."""

from __future__ import annotations

import gc
import logging
import os
import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import structlog
from pysyncobj import syncobj

from tests.simulation.loop import SimLoop


def chance_of(seed: int, purpose: str) -> random.Random:
    """A source of its own for each purpose, so that more of one thing does not change another.

    Text is hashed with SHA-512 here, not with the hash that differs between processes.
    """
    return random.Random(f"{seed} {purpose}")


@contextmanager
def determined(seed: int, loop: SimLoop) -> Iterator[None]:
    """Lets all chance and time of the product come from the seed and the loop, and silences its logs."""
    product = chance_of(seed, "product")
    kept, logs = random.getstate(), structlog.get_config()
    random.seed(f"{seed} random")
    level = logging.getLogger("coordinator").level
    logging.getLogger("coordinator").setLevel(logging.CRITICAL + 1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    collecting = gc.isenabled()
    # What is collected runs code of the product at moments that depend on memory.
    gc.disable()
    try:
        with (
            mock.patch.object(syncobj, "monotonicTime", loop.read_clock),
            mock.patch.object(secrets, "randbits", product.getrandbits),
            mock.patch.object(os, "urandom", product.randbytes),
        ):
            yield
    finally:
        random.setstate(kept)
        logging.getLogger("coordinator").setLevel(level)
        structlog.configure(**logs)
        if collecting:
            gc.enable()
