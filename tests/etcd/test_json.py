"""The JSON gateway beside that of a real etcd."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from coordinator_client.testing.nodes import Nodes
from tests.etcd import peers
from tests.etcd.remote import strip

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not peers.installed(), reason="there is no etcd here: make test-etcd"),
]
CALLS = (
    ("kv/put", '{"key":"Zm9v","value":"YmFy"}'),
    ("kv/put", '{"key":"Zm9v","value":"YmFy","prevKv":true}'),
    ("kv/range", '{"key":"Zm9v"}'),
    ("kv/range", '{"key":"Zm9v","rangeEnd":"AA==","sort_order":"DESCEND","unknown":3}'),
    ("kv/range", '{"key":"bm9uZQ=="}'),
    ("kv/range", '{"key":"Zm9v","revision":"99"}'),
    ("kv/range", '{"key":"Zm9v","revision":99}'),
    ("kv/range", "{}"),
    (
        "kv/txn",
        '{"compare":[{"key":"Zm9v","target":"VALUE","result":"EQUAL","value":"YmFy"}],'
        '"success":[{"requestRange":{"key":"Zm9v"}},{"request_put":{"key":"Yg=="}}]}',
    ),
    ("kv/txn", '{"success":[{}]}'),
    ("kv/deleterange", '{"key":"Yg==","prev_kv":true}'),
    ("kv/compaction", '{"revision":"3"}'),
    ("kv/compaction", '{"revision":"3"}'),
    ("lease/grant", '{"ID":5,"TTL":60}'),
    ("lease/grant", '{"ID":"5","TTL":"60"}'),
    ("lease/keepalive", '{"ID":5}{"ID":6}'),
    ("kv/lease/leases", "{}"),
    ("lease/revoke", '{"ID":5}'),
    ("kv/lease/revoke", '{"ID":5}'),
    ("lease/timetolive", '{"ID":5}'),
    ("auth/authenticate", '{"name":"a","password":"b"}'),
    ("auth/user/list", "{}"),
    ("auth/user/add", "{}"),
    ("auth/enable", "{}"),
    ("election/leader", '{"name":"eA=="}'),
    ("cluster/member/remove", '{"ID":404}'),
    ("maintenance/transfer-leadership", '{"targetID":404}'),
)


def post(base: str, path: str, body: str) -> tuple[int, list[object]]:
    """Returns the status, and the lines of an answer without what is another on every server."""
    try:
        with urllib.request.urlopen(f"{base}/v3/{path}", body.encode(), timeout=10) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    lines = [json.loads(line) for line in text.splitlines()]
    strip(lines)
    return status, lines


def test_answers_are_the_same(tmp_path: Path) -> None:
    address = f"127.0.0.1:{peers.free_port()}"
    with peers.etcd(tmp_path / "etcd") as theirs, Nodes(tmp_path / "ours", 1) as nodes:
        node = nodes[0]
        node.kill()
        node.configure([*node._arguments, "--http-address", address])
        node.start()
        nodes.wait_ready()
        for path, body in CALLS:
            expected = post(f"http://{theirs}", path, body)
            assert post(f"http://{address}", path, body) == expected, (path, body)
