"""The one release of pysyncobj that the overrides of this package were written for and are tested with."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pysyncobj.syncobj

from coordinator.errors import FatalError

VERSION = "0.3.17"
SOURCE_SHA256 = "e8bdf06797085d734df86e24ab4802fe87893dff77268565ec036f7ad4a1cfe4"
"""Of the file pysyncobj/syncobj.py."""


def check_release() -> None:
    """Raises FatalError if the installed release is another one.

    The overrides rely on the bodies of the methods around them: a release that only looks the same could break what
    they promise.
    """
    version = pysyncobj.syncobj.VERSION
    if version != VERSION:
        raise FatalError(
            f"pysyncobj {version} is installed, and this program works with {VERSION} only: "
            f"install pysyncobj=={VERSION}"
        )
    source = Path(pysyncobj.syncobj.__file__).read_bytes()
    if hashlib.sha256(source).hexdigest() != SOURCE_SHA256:
        raise FatalError(
            f"the installed pysyncobj {VERSION} is not the released one: install it again from the "
            "package index"
        )
