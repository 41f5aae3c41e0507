"""RFC 9113, section 8: which requests HTTP forbids. One row for each rule, and the functions alone."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest

from coordinator.wire.http2 import Code, Headers
from coordinator.wire.http2.failures import Malformed
from coordinator.wire.http2.fields import FieldChecker
from tests.unit.wire.http2.dialogue import REQUEST, Dialogue, Fields, replaced
from tests.unit.wire.http2.rules import Parts, Passes, Resets, Rule, numbered, opened, raw

MALFORMED = Resets(Code.PROTOCOL_ERROR)
OPENS = Passes("Headers")


def request(section: str, text: str, outcome: Resets | Passes, fields: Fields) -> Rule:
    return Rule(section, text, outcome, lambda dialogue: [dialogue.headers(1, fields)])


def extra(section: str, text: str, outcome: Resets | Passes, *more: tuple[bytes, bytes]) -> Rule:
    return request(section, text, outcome, replaced(more=more))


def ends(dialogue: Dialogue, fields: Fields, end: bool = True) -> Parts:
    return opened(dialogue, dialogue.headers(1, fields, end=end))


def announces(dialogue: Dialogue, size: int, *parts: hf.Frame | bytes, end: bool = False) -> Parts:
    length = (b"content-length", b"%d" % size)
    return [dialogue.headers(1, replaced(more=[length]), end=end), *parts]


RULES = [
    request("8.1", "a request", OPENS, REQUEST),
    Rule("8.1", "trailers", Passes("Trailers"), lambda d: ends(d, [(b"x", b"y")])),
    Rule("8.1", "trailers that don't end", MALFORMED, lambda d: ends(d, [(b"x", b"y")], end=False)),
    Rule("8.1", "trailers with a pseudo field", MALFORMED, lambda d: ends(d, [(b":path", b"/")])),
    Rule("8.1", "empty trailers", Passes("Trailers"), lambda d: opened(d, raw(1, 5, 1))),
    request("8.1.1", "no fields at all", MALFORMED, []),
    Rule(
        "8.1.1",
        "the announced length",
        Passes("Headers Content"),
        lambda d: announces(d, 3, raw(0, 1, 1, b"abc")),
    ),
    Rule(
        "8.1.1", "less than announced", MALFORMED, lambda d: announces(d, 4, raw(0, 1, 1, b"abc"))
    ),
    Rule(
        "8.1.1", "more than announced", MALFORMED, lambda d: announces(d, 2, raw(0, 0, 1, b"abc"))
    ),
    Rule("8.1.1", "nothing though announced", MALFORMED, lambda d: announces(d, 2, end=True)),
    Rule(
        "8.1.1",
        "less than announced, and trailers",
        MALFORMED,
        lambda d: announces(d, 2, raw(1, 5, 1, b"\x00\x01x\x01y")),
    ),
    Rule(
        "8.1.1",
        "nothing announced and nothing sent",
        Passes("Headers"),
        lambda d: announces(d, 0, end=True),
    ),
    Rule(
        "8.1.1",
        "padding is no content",
        Passes("Headers Content"),
        lambda d: announces(d, 2, raw(0, 9, 1, b"\x02ab\0\0")),
    ),
    extra("8.1.1", "a length that is no number", MALFORMED, (b"content-length", b"3x")),
    extra("8.1.1", "a negative length", MALFORMED, (b"content-length", b"-3")),
    extra("8.1.1", "an enormous length", MALFORMED, (b"content-length", b"9" * 30)),
    extra("8.1.1", "two lengths", MALFORMED, (b"content-length", b"1"), (b"content-length", b"2")),
    extra("8.2.1", "an upper case name", MALFORMED, (b"Name", b"x")),
    extra("8.2.1", "a name with a blank", MALFORMED, (b"na me", b"x")),
    extra("8.2.1", "a name with a control", MALFORMED, (b"na\x01me", b"x")),
    extra("8.2.1", "a name above ASCII", MALFORMED, (b"na\xffme", b"x")),
    extra("8.2.1", "a name with DEL", MALFORMED, (b"na\x7fme", b"x")),
    extra("8.2.1", "a name with a colon", MALFORMED, (b"na:me", b"x")),
    extra("8.2.1", "an empty name", MALFORMED, (b"", b"x")),
    extra("8.2.1", "a value with NUL", MALFORMED, (b"name", b"x\0y")),
    extra("8.2.1", "a value with CR", MALFORMED, (b"name", b"x\ry")),
    extra("8.2.1", "a value with LF", MALFORMED, (b"name", b"xy\n")),
    extra("8.2.1", "a value that begins with a blank", MALFORMED, (b"name", b" x")),
    extra("8.2.1", "a value that ends with a tab", MALFORMED, (b"name", b"x\t")),
    extra("8.2.1", "an empty value", OPENS, (b"name", b"")),
    extra("8.2.1", "a value above ASCII", OPENS, (b"name", b"\xff x\xfe")),
    request("8.2.1", "a pseudo field with LF", MALFORMED, replaced((b":path", b"/a\nb"))),
    extra("8.2.2", "connection", MALFORMED, (b"connection", b"close")),
    extra("8.2.2", "proxy-connection", MALFORMED, (b"proxy-connection", b"close")),
    extra("8.2.2", "keep-alive", MALFORMED, (b"keep-alive", b"1")),
    extra("8.2.2", "transfer-encoding", MALFORMED, (b"transfer-encoding", b"chunked")),
    extra("8.2.2", "upgrade", MALFORMED, (b"upgrade", b"h2c")),
    request("8.2.2", "te other than trailers", MALFORMED, replaced((b"te", b"gzip"))),
    request("8.2.2", "te with more than trailers", MALFORMED, replaced((b"te", b"trailers, gzip"))),
    request("8.2.2", "no te", OPENS, replaced((b"te", None))),
    Rule(
        "8.2.2", "connection in trailers", MALFORMED, lambda d: ends(d, [(b"connection", b"close")])
    ),
    extra("8.2.3", "cookie crumbs", OPENS, (b"cookie", b"a=1"), (b"cookie", b"b=2")),
    request("8.3", "an unknown pseudo field", MALFORMED, [(b":what", b"x"), *REQUEST]),
    request("8.3", "a pseudo field of replies", MALFORMED, [(b":status", b"200"), *REQUEST]),
    request("8.3", "a pseudo field after others", MALFORMED, [*REQUEST[1:], REQUEST[0]]),
    request("8.3", "a pseudo field twice", MALFORMED, [REQUEST[0], *REQUEST]),
    request("8.3.1", "no method", MALFORMED, replaced((b":method", None))),
    request("8.3.1", "an empty method", MALFORMED, replaced((b":method", b""))),
    request("8.3.1", "a method that is no token", MALFORMED, replaced((b":method", b"PO ST"))),
    request("8.3.1", "no scheme", MALFORMED, replaced((b":scheme", None))),
    request("8.3.1", "no path", MALFORMED, replaced((b":path", None))),
    request("8.3.1", "an empty path", MALFORMED, replaced((b":path", b""))),
    request("8.3.1", "a path without a slash", MALFORMED, replaced((b":path", b"pkg.Service"))),
    request("8.3.1", "OPTIONS of all", OPENS, replaced((b":method", b"OPTIONS"), (b":path", b"*"))),
    request("8.3.1", "no authority", OPENS, replaced((b":authority", None))),
    request("8.3.1", "an authority with a user", MALFORMED, replaced((b":authority", b"me@host"))),
    extra("8.3.1", "the host again", OPENS, (b"host", b"LocalHost")),
    extra("8.3.1", "another host", MALFORMED, (b"host", b"elsewhere")),
    request("8.5", "CONNECT", OPENS, [(b":method", b"CONNECT"), (b":authority", b"a:1")]),
    request("8.5", "CONNECT with a path", MALFORMED, replaced((b":method", b"CONNECT"))),
    request("8.5", "CONNECT to nowhere", MALFORMED, [(b":method", b"CONNECT")]),
    request(
        "8.5",
        "CONNECT of a protocol",
        MALFORMED,
        replaced((b":method", b"CONNECT"), more=[(b":protocol", b"x")]),
    ),
]


@pytest.mark.parametrize("rule", numbered(201, RULES))
def test_rule(rule: Rule) -> None:
    rule.check()


def test_malformed_requests_are_counted_and_the_table_stays_right() -> None:
    dialogue = Dialogue()
    bad = dialogue.headers(1, [*REQUEST, (b"Bad", b"field")])
    for event in dialogue.send(bad, dialogue.headers(3), dialogue.headers(5)):
        assert isinstance(event, Headers)
        assert event.block.fields == tuple(REQUEST)
    assert dialogue.counters.totals["malformed_blocks"] == 1


def test_what_is_known_to_be_fine_is_not_checked_again() -> None:
    checker = FieldChecker()
    first, again = checker.make_request(REQUEST), checker.make_request(REQUEST)
    assert first is not again and first.fields == again.fields
    with pytest.raises(Malformed):
        checker.make_trailers(REQUEST)
    checker.make_trailers(REQUEST[4:])
