"""Mutations: what the front owes to its clients, and what it does not let them do."""

from __future__ import annotations

from tests.mutations.mutation import Mutation


def of_front(name: str, module: str, old: str, new: str, *tests: str) -> Mutation:
    """A breakage in `coordinator/wire/front/`, and the unit tests that notice it."""
    files = " ".join(f"tests/unit/wire/front/test_{test}.py" for test in tests)
    return Mutation(name, f"coordinator/wire/front/{module}.py", old, new, files)


MUTATIONS = [
    of_front(
        "what-is-unpacked-is-bounded",
        "messages",
        "unpacking.decompress(packed, self._size_max + 1)",
        "unpacking.decompress(packed)[: self._size_max]",
        "messages",
    ),
    of_front(
        "a-deadline-that-passes-ends-the-call",
        "connection",
        "            host.deadlines.add(call, call.deadline)\n",
        "",
        "calls",
    ),
    of_front(
        "a-client-that-resets-ends-the-method",
        "connection",
        "        if call.task is not None:\n            self.host.leave(call.task)\n",
        "",
        "calls",
    ),
    of_front(
        "calls-are-limited",
        "connection",
        "host.tallies.calls_open >= host.calls_max",
        "False",
        "connection",
    ),
    of_front(
        "unfinished-messages-are-bounded",
        "connection",
        "if self.unfinished > UNFINISHED_BYTES_MAX:",
        "if False:",
        "connection",
    ),
    of_front(
        "a-stream-waits-for-its-window",
        "outlet",
        "self.http2.unsent(call.stream_id) > UNSENT_BYTES_MAX\n",
        "False\n",
        "outlet",
    ),
    of_front(
        "a-client-that-never-reads-is-cut-off",
        "outlet",
        "if unread > UNREAD_EXCESS * self.host.limits.connection_unread_bytes_max:",
        "if False:",
        "outlet",
    ),
    of_front(
        "what-nobody-took-is-not-given-back",
        "calls",
        "        if not self._messages:\n            # Nothing",
        "        if True:\n            # Nothing",
        "calls",
    ),
    of_front(
        "a-client-must-begin-in-time",
        "outlet",
        "greeted=self.http2.settled",
        "greeted=True",
        "opening",
    ),
    of_front(
        "what-waits-is-written-before-the-end",
        "connection",
        "        self._write()\n        self._closing = True\n",
        "        self._closing = True\n",
        "server",
        "connection",
    ),
]
