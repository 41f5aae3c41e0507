"""How results are shown: tables for people, JSON for programs."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from coordinator_client import (
    Alarm,
    Change,
    DeleteResult,
    Event,
    EventBatch,
    Instance,
    KeyValue,
    Member,
    MemberStatus,
    PutResult,
    RangeResult,
    SessionRecord,
    TxnResult,
)
from coordinator_client.ports import join_ports

CELL_LENGTH_MAX = 200
"""Characters of a value that a table shows."""
PADDED_WIDTH_MAX = 48
"""A wider cell moves the rest of its own row, and not that of all the others."""
GAP = "  "
Json = dict[str, Any]

# Whatever moves a cursor, ends a line, turns text around, or has no form in UTF-8.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_ESCAPE_BEGUN = re.compile(r"\\(x[0-9a-f]?|u[0-9a-f]{0,3})?$")


class Printer:
    """Prints to standard output; with `as_json` one JSON document a line."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._console = Console(highlight=False) if sys.stdout.isatty() else None

    def json(self, document: Mapping[str, Any]) -> None:
        ascii_only = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
        print(json.dumps(document, ensure_ascii=ascii_only), flush=True)

    def line(self, text: str, style: str = "") -> None:
        """Prints one line at once; it stays one whatever is in it."""
        text = visible(text)
        if style and self._console is not None:
            self._console.print(Text(text, style=style), soft_wrap=True)
            sys.stdout.flush()
        else:
            print(text, flush=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Prints rows below a header, one line each."""
        shown = [["" if cell is None else visible(str(cell)) for cell in row] for row in rows]
        header = [column.upper() for column in columns]
        widths = [cell_len(title) for title in header]
        for row in shown:
            for i, cell in enumerate(row):
                if widths[i] < (width := cell_len(cell)) <= PADDED_WIDTH_MAX:
                    widths[i] = width
        self.line(_padded(header, widths), style="bold")
        for row in shown:
            print(_padded(row, widths))
        sys.stdout.flush()

    def raw(self, value: bytes, newline: bool) -> None:
        """Writes a value as it is."""
        sys.stdout.flush()
        sys.stdout.buffer.write(value + (b"\n" if newline else b""))
        sys.stdout.buffer.flush()


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    pads = (" " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=False))
    return GAP.join(map("".join, zip(cells, pads, strict=True))).rstrip()


def visible(text: str) -> str:
    r"""Returns text in which control characters, and bytes that were none, are written as `\n`, `\x1b`, `\u2028`."""
    return _INVISIBLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    if 0xDC80 <= number <= 0xDCFF:
        # How Python keeps a byte of the command line that is not UTF-8 (PEP 383).
        number -= 0xDC00
    return _NAMED.get(found[0]) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


def text(value: bytes) -> str:
    """Returns bytes for people: as text on one line, with escapes for what can't be shown."""
    return visible(value.decode(errors="backslashreplace"))


def cell(value: bytes) -> str:
    """Returns a value for a table: like `text`, but only the beginning of one that is long, and its size."""
    # No character takes more than four bytes.
    shown = text(value[: CELL_LENGTH_MAX * 4 + 4])
    if len(shown) <= CELL_LENGTH_MAX:
        return shown
    return f"{_ESCAPE_BEGUN.sub('', shown[:CELL_LENGTH_MAX])}… ({len(value):,} bytes)"


def field(name: str, value: bytes) -> Json:
    """Returns bytes as a JSON field: text under their name, or else base64 under `<name>_base64`."""
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}


def kv_json(kv: KeyValue, keys_only: bool = False) -> Json:
    return {
        **field("key", kv.key),
        **({} if keys_only else field("value", kv.value)),
        "create_revision": kv.create_revision,
        "mod_revision": kv.mod_revision,
        "version": kv.version,
        "session": identifier(kv.session),
    }


def identifier(number: int) -> str | None:
    """Returns an id as JSON: text, for many readers round large numbers; None for none."""
    return str(number) if number else None


def optional_kv_json(kv: KeyValue | None) -> Json | None:
    return None if kv is None else kv_json(kv)


def put_json(result: PutResult) -> Json:
    return {
        **field("key", result.key),
        "revision": result.revision,
        "prev": optional_kv_json(result.prev),
    }


def delete_json(result: DeleteResult) -> Json:
    return {
        "deleted": result.deleted,
        "revision": result.revision,
        "prevs": [kv_json(kv) for kv in result.prevs],
    }


def range_json(result: RangeResult, keys_only: bool = False) -> Json:
    return {
        "kvs": [kv_json(kv, keys_only) for kv in result.kvs],
        "count": result.count,
        "more": result.more,
        "revision": result.revision,
    }


def txn_json(result: TxnResult) -> Json:
    return {
        "succeeded": result.succeeded,
        "revision": result.revision,
        "responses": [response_json(response) for response in result.responses],
    }


def response_json(
    response: KeyValue | RangeResult | PutResult | DeleteResult | TxnResult | None,
) -> Json:
    match response:
        case PutResult():
            return {"put": put_json(response)}
        case DeleteResult():
            return {"delete": delete_json(response)}
        case RangeResult():
            return {"range": range_json(response)}
        case TxnResult():
            return {"txn": txn_json(response)}
    return {"get": optional_kv_json(response)}


def event_json(event: Event) -> Json:
    if event.is_put:
        return {"type": "put", **kv_json(event.kv), "prev": optional_kv_json(event.prev)}
    return {
        "type": "delete",
        **field("key", event.key),
        "mod_revision": event.kv.mod_revision,
        "cause": event.cause.value,
        "prev": optional_kv_json(event.prev),
    }


def batch_json(batch: EventBatch) -> Json:
    if batch.snapshot:
        return {"revision": batch.revision, "snapshot": [kv_json(kv) for kv in batch.kvs]}
    return {"revision": batch.revision, "events": [event_json(event) for event in batch.events]}


def session_json(session: SessionRecord) -> Json:
    return {
        "id": identifier(session.id),
        "ttl_s": session.ttl_s,
        "disconnect_grace_s": session.disconnect_grace_s,
        "metadata": dict(session.metadata),
        "key_count": session.key_count,
        "open_revision": session.open_revision,
    }


def instance_json(instance: Instance) -> Json:
    return {
        "service": instance.service,
        "id": instance.id,
        "address": instance.address,
        "port": instance.port,
        "metadata": dict(instance.metadata),
        "ports": join_ports(instance.ports, instance.protocols),
        "tags": list(instance.tags),
        "weight": instance.weight,
        "zone": instance.zone,
        "version": instance.version,
        "state": {
            "status": instance.state.status,
            "note": instance.state.note,
            "guarded": instance.state.guarded,
        },
        "checks": {
            name: {"status": check.status, "note": check.note}
            for name, check in sorted(instance.checks.items())
        },
        "create_revision": instance.create_revision,
        "mod_revision": instance.mod_revision,
        "session": identifier(instance.session),
        **({"proxy": True} if instance.proxy else {}),
    }


def change_json(change: Change) -> Json:
    return {
        "type": change.type.value,
        "revision": change.revision,
        "cause": change.cause.value,
        "instance": instance_json(change.instance),
    }


def member_json(member: Member) -> Json:
    return {
        "id": identifier(member.id),
        "name": member.name,
        "peer_address": member.peer_address,
        "client_address": member.client_address,
        "leader": member.leader,
        "connected": member.connected,
        "voter": member.voter,
        "lag": member.lag,
    }


STATUS_FIELDS = (
    "name",
    "version",
    "role",
    "leader_name",
    "term",
    "commit_index",
    "applied_index",
    "revision",
    "compacted_revision",
    "snapshot_index",
    "journal_size_bytes",
    "snapshot_size_bytes",
    "key_count",
    "session_count",
    "watch_count",
    "uptime_s",
    "state_size_bytes",
    "history_size_bytes",
    "state_size_bytes_max",
    "disk_free_bytes",
)


def alarm_json(alarm: Alarm) -> Json:
    member = identifier(alarm.member_id) if alarm.member_id else None
    return {"kind": alarm.kind, "member_id": member, "message": alarm.message}


def status_json(status: MemberStatus) -> Json:
    return {
        "endpoint": status.endpoint,
        "cluster_id": identifier(status.cluster_id),
        "member_id": identifier(status.member_id),
        **{name: getattr(status, name) for name in STATUS_FIELDS},
        "alarms": [alarm_json(alarm) for alarm in status.alarms],
        **({"digest": status.digest} if status.digest else {}),
    }
