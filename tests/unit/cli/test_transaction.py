from __future__ import annotations

import json

import pytest

from coordinator_client import Delete, Get, Key, Nested, Prefix, Put, Range, Span
from coordinator_client.cli.transaction import TransactionError, parse
from tests.unit.cli.conftest import Coordctl


def test_everything_that_can_be_said() -> None:
    document = {
        "compares": [
            {"key": "/a", "value": "x"},
            {"key_base64": "/w==", "value_base64": "/g=="},
            {"key": "/a", "version": {">": 3}},
            {"key": "/a", "session": "4611686018427387904"},
            {"prefix": "/p/", "exists": False},
            {"key": "/a", "range_end": "/b", "mod_revision": {"!=": 0}},
        ],
        "success": [
            {"put": {"key": "/a", "value": "x", "session": 7, "sequence": True, "prev": True}},
            {"put": {"key": "/empty"}},
            {"get": {"key": "/a"}},
            {"range": {"prefix": "/p/", "limit": 2, "keys_only": True}},
            {"range": {"key": "/a", "range_end": "/b"}},
            {"delete": {"prefix": "/p/", "prev": True}},
            {"txn": {"success": [{"get": {"key": "/a"}}]}},
        ],
        "failure": [{"delete": {"key": "/a"}}],
    }
    parsed = parse(json.dumps(document).encode())
    assert [repr(compare) for compare in parsed.when] == [
        repr(compare)
        for compare in (
            Key("/a").value == "x",
            Key(b"\xff").value == b"\xfe",
            Key("/a").version > 3,
            Key("/a").session == 1 << 62,
            Prefix("/p/").missing(),
            Span("/a", "/b").mod_revision != 0,
        )
    ]
    expected = Nested(
        then=(
            Put("/a", "x", 7, True, True),
            Put("/empty"),
            Get("/a"),
            Range("/p/", prefix=True, limit=2, keys_only=True),
            Range("/a", range_end="/b"),
            Delete("/p/", prefix=True, prev=True),
            Nested(then=(Get("/a"),)),
        ),
        otherwise=(Delete("/a"),),
    ).message()
    message = parsed.message()
    assert message.success == expected.success
    assert message.failure == expected.failure


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not JSON"),
        ("[]", "must be an object"),
        ('{"sucess": []}', "no field sucess"),
        ('{"success": {}}', "success must be a list"),
        ('{"success": [{"get": {"key": "a"}, "put": {"key": "a"}}]}', "success[0] must be one of"),
        ('{"success": [{"swap": {}}]}', "success[0].swap: there is no such operation"),
        ('{"success": [{"put": {}}]}', "success[0].put.key must be text"),
        ('{"success": [{"put": {"key": 1}}]}', "success[0].put.key must be text"),
        ('{"success": [{"put": {"key_base64": "?"}}]}', "is not base64"),
        ('{"success": [{"put": {"key": "a", "session": 1.5}}]}', "must be a whole number"),
        ('{"success": [{"put": {"key": "a", "prev": 1}}]}', "must be true or false"),
        ('{"compares": [{"key": "a"}]}', "compares[0] must compare one of"),
        ('{"compares": [{"key": "a", "exists": 1}]}', "compares[0].exists must be"),
        ('{"compares": [{"key": "a", "version": {"=": 1}}]}', "must have one of =="),
        ('{"compares": [{"key": "", "version": 1}]}', "the key is empty"),
        ('{"success": [{"put": {"key": "a", "session": 9223372036854775808}}]}', "beyond 64 bits"),
        ('{"success": [{"put": {"key": "a", "session": "9223372036854775808"}}]}', "beyond 64"),
        ('{"success": [{"range": {"key": "a", "limit": -9223372036854775809}}]}', "beyond 64 bits"),
        ('{"compares": [{"key": "a", "version": {">": 1e400}}]}', "must be a whole number"),
        ('{"compares": [{"key": "a", "version": 99999999999999999999}]}', "beyond 64 bits"),
        (r'{"success": [{"get": {"key": "a\ud800"}}]}', "success[0].get.key has half a character"),
        (r'{"success": [{"put": {"key": "a", "value": "\udcff"}}]}', "value has half a character"),
        (r'{"success": [{"range": {"key": "a", "range_end": "\udcff"}}]}', "range_end has half"),
        (r'{"success": [{"range": {"prefix": "\udcff"}}]}', "prefix has half a character"),
        ('{"success": [{"put": {"key_base64": "ä"}}]}', "is not base64"),
        ('{"success": [{"txn": {"failure": [{"get": 1}]}}]}', "success[0].txn.failure[0].get must"),
    ],
)
def test_complaints_say_where(text: str, complaint: str) -> None:
    with pytest.raises(TransactionError) as raised:
        parse(text.encode())
    assert complaint in str(raised.value)


def test_broken_utf_8_is_told_plainly() -> None:
    with pytest.raises(TransactionError, match=r"^this is not UTF-8: byte 3 is no text$"):
        parse(b'{"\xff": 1}')


def test_names_in_complaints_are_visible(coordctl: Coordctl) -> None:
    done = coordctl.run("txn", code=2, stdin=rb'{"success": [{"\u001b\ud800": {}}]}')
    assert r"success[0].\x1b\ud800: there is no such operation" in done.stderr


def test_depth_is_limited() -> None:
    text = '{"success":[{"txn":' * 100 + "{}" + "}]}" * 100
    with pytest.raises(TransactionError, match="nested too deeply"):
        parse(text.encode())
    with pytest.raises(TransactionError):
        parse(b"[" * 1_000_000)
