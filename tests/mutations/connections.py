"""Mutations: what a client of HTTP/2 may do, and what it may not."""

from __future__ import annotations

from tests.mutations.mutation import Mutation


def of_http2(name: str, module: str, old: str, new: str, *tests: str) -> Mutation:
    """A breakage in `coordinator/wire/http2/`, and the unit tests that notice it."""
    files = " ".join(f"tests/unit/wire/http2/test_{test}.py" for test in tests)
    return Mutation(name, f"coordinator/wire/http2/{module}.py", old, new, files)


MUTATIONS = [
    of_http2(
        "kept-blocks-go-when-the-table-changes",
        "blocks",
        "        block = self._checker.make_request(fields)\n        if decoder.changes == changes:",
        "        block = self._checker.make_request(fields)\n        if True:",
        "blocks",
    ),
    of_http2(
        "an-insertion-is-a-change",
        "decoding",
        "        size = FIELD_OVERHEAD_BYTES + len(field[0]) + len(field[1])\n        self.changes += 1\n",
        "        size = FIELD_OVERHEAD_BYTES + len(field[0]) + len(field[1])\n",
        "blocks",
    ),
    of_http2(
        "a-smaller-table-must-be-confirmed",
        "decoding",
        "        if self._update_due:\n",
        "        if False:\n",
        "decoding",
    ),
    of_http2(
        "fields-beyond-the-limit-are-not-kept",
        "decoding",
        "            if room >= 0:",
        "            if True:",
        "decoding",
    ),
    of_http2(
        "a-client-that-resets-is-counted",
        "requests",
        '        self._counters.count("streams_reset_by_client")\n        self._budgets.resets.spend(self._now)\n',
        "",
        "hostile",
    ),
    of_http2(
        "a-stream-that-we-had-to-reset-is-counted",
        "control",
        "        self._budgets.resets.spend(self._now)\n        self._ended_streams.add(stream_id)",
        "        self._ended_streams.add(stream_id)",
        "hostile",
    ),
    of_http2(
        "answers-that-nobody-reads-are-bounded",
        "control",
        "if self._control_bytes > self._limits.control_output_bytes_max:",
        "if False:",
        "hostile",
    ),
    of_http2(
        "pieces-of-a-block-are-counted",
        "requests",
        "            or len(self._block_pieces) > limits.continuation_frames_max + 1\n",
        "",
        "hostile",
    ),
    of_http2(
        "what-is-unread-closes-the-window",
        "credit",
        "        if self.unread > self._unread_max:",
        "        if False:",
        "credit",
    ),
    of_http2(
        "a-closed-stream-gives-back-what-was-unread",
        "sending",
        "        if stream.unread:\n            self._release(stream.unread)\n",
        "",
        "sending",
        "properties",
    ),
    of_http2(
        "streams-take-turns",
        "sending",
        "ready.popitem(last=False)",
        "ready.popitem()",
        "sending",
    ),
    of_http2(
        "windows-that-nobody-uses-add-up",
        "sending",
        "            if held_back and len(self._out) > OUTPUT_PIECES_MAX:",
        "            if False:",
        "sending",
    ),
    of_http2(
        "late-frames-on-a-stream-that-we-ended-are-no-mistake",
        "requests",
        "        if stream_id not in self._ended_streams:",
        "        if True:",
        "rules_of_connections",
        "requests",
    ),
    of_http2(
        "a-client-knows-our-settings-only-once-it-says-so",
        "control",
        "max(limits.stream_window_bytes, WINDOW_DEFAULT)",
        "limits.stream_window_bytes",
        "rules_of_frames",
    ),
    of_http2(
        "a-goaway-never-takes-back-what-it-said",
        "connection",
        "        if self._final_stream_id is None:",
        "        if True:",
        "connection",
    ),
]
