"""What a person sees in a debugger or a log: what it is, where it is, and how it is doing."""

from __future__ import annotations

import re

import coordinator_client
from coordinator_client import aio
from tests.unit.client.stage import Stage, StageThread


async def test_asyncio_objects_show_their_state(stage: Stage, client: aio.Client) -> None:
    assert repr(client) == f"<Client of {stage.addresses}: next at {client.endpoint}>"

    session = client.session(9, id=7)
    assert repr(session) == "<Session 0: not open yet>"
    async with session:
        assert repr(session).startswith("<Session 7: alive, sure for ")
        assert " s>" in repr(session)
    assert repr(session) == "<Session 7: closed>"
    async with client.session(9, id=8) as session:
        session.declare_lost("of a test")
        assert repr(session) == "<Session 8: lost>"

    watch = client.watch("/a/", prefix=True)
    assert repr(watch) == "<Watch of /a/*: waiting for a node, next revision 0>"
    async with watch:
        expected = f"at {watch.endpoint}, next revision {watch.next_revision}"
        assert repr(watch) == f"<Watch of /a/*: {expected}>"
    assert repr(watch) == "<Watch of /a/*: closed>"

    view = client.discover("pay")
    assert repr(view) == "<ServiceView of pay: not open yet, 0 instances as of revision 0>"
    mine = client.register("pay", "::1", 80, id="a")
    assert repr(mine) == "<Registration of pay/a at [::1]:80: not open yet>"
    async with mine, view:
        assert mine.session is not None
        registered = f"registered under session {mine.session.id}"
        assert repr(mine) == f"<Registration of pay/a at [::1]:80: {registered}>"
        assert repr(view).startswith("<ServiceView of pay: at 127.0.0.1:")
        assert repr(view).endswith(f", 1 instances as of revision {view.revision}>")
    assert repr(mine) == "<Registration of pay/a at [::1]:80: closed>"
    assert repr(view).startswith("<ServiceView of pay: closed, ")

    await client.close()
    assert repr(client) == f"<Client of {stage.addresses}: closed>"


def test_blocking_objects_show_their_state(
    stage_thread: StageThread, blocking: coordinator_client.Client
) -> None:
    assert repr(blocking) == f"<Client of {stage_thread.addresses}: next at {blocking.endpoint}>"
    with (
        blocking.session(9, id=7) as session,
        blocking.watch("/a", range_end="/b") as watch,
        blocking.register("pay", "::1", 80, id="a") as mine,
        blocking.discover("pay") as view,
    ):
        # It has no keep-alive of its own yet, but may share the stream of the instance's.
        assert re.fullmatch(r"<Session 7: alive( at [\d.:]+)?, sure for \d\.\d s>", repr(session))
        assert repr(watch).startswith(f"<Watch of [/a, /b): at {watch.endpoint}, next revision ")
        assert ": registered under session " in repr(mine)
        assert ", 1 instances as of revision " in repr(view)
    assert repr(session) == "<Session 7: closed>"
    assert repr(watch) == "<Watch of [/a, /b): closed>"
    assert repr(mine).endswith(": closed>")
    assert ": closed, " in repr(view)
