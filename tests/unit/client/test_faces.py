"""Both faces offer the same names, and nothing else."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types

import pytest

import coordinator_client
from coordinator_client import aio, errors

FACES = [coordinator_client, aio]


@pytest.mark.parametrize("face", FACES, ids=["blocking", "asyncio"])
def test_all_is_exactly_the_public_names(face: types.ModuleType) -> None:
    public = {
        name
        for name, value in vars(face).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert set(face.__all__) == public - {"annotations"}
    assert face.__all__ == sorted(face.__all__)
    assert set(errors.__all__) <= set(face.__all__)


def test_both_faces_have_the_same_names() -> None:
    assert coordinator_client.__all__ == aio.__all__


def members(cls: type) -> dict[str, object]:
    return {name: value for name, value in inspect.getmembers(cls) if not name.startswith("_")}


@pytest.mark.parametrize("name", coordinator_client.__all__)
def test_both_faces_have_the_same_members(name: str) -> None:
    blocking, waiting = getattr(coordinator_client, name), getattr(aio, name)
    if blocking is waiting:
        return
    if not inspect.isclass(blocking):
        assert inspect.signature(blocking) == inspect.signature(waiting)
        return
    ours, theirs = members(blocking), members(waiting)
    assert ours.keys() == theirs.keys()
    for member, value in ours.items():
        if inspect.isfunction(value):
            other = theirs[member]
            assert inspect.isfunction(other)
            assert list(inspect.signature(value).parameters.values()) == list(
                inspect.signature(other).parameters.values()
            )
            assert not inspect.iscoroutinefunction(value)


@pytest.mark.parametrize("face", FACES, ids=["blocking", "asyncio"])
def test_what_is_public_is_documented(face: types.ModuleType) -> None:
    bare = []
    for name in face.__all__:
        cls = getattr(face, name)
        bare += [] if inspect.getdoc(cls) else [name]
        if inspect.isclass(cls):
            bare += [
                f"{name}.{member}"
                for member, value in vars(cls).items()
                if not member.startswith("_")
                and isinstance(value, types.FunctionType | property | classmethod)
                and not inspect.getdoc(value)
            ]
    assert not bare


def test_the_blocking_face_has_no_event_loop() -> None:
    """It works where none can be made."""
    code = (
        "import asyncio, coordinator_client as c\n"
        "del asyncio.new_event_loop, asyncio.run, asyncio.Runner\n"
        "client = c.connect('127.0.0.1:1', timeout_s=0.1)\n"
        "for use in (client.put, client.watch('/a').open, client.session().open):\n"
        "    try: use(*['/a'] if use == client.put else [])\n"
        "    except c.Unavailable: print('unavailable')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["unavailable"] * 3, done.stderr
