"""Health checks: what a program asks the cluster to look at, and what came of it (docs/health.md).

/services/<service>/instances/<id>         the definition declares checks, by name, under `checks`
/services/<service>/checks/<id>/<check>    the result of one of them
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

from coordinator_client import validation
from coordinator_client.errors import InvalidArgument

__all__ = ["Check", "CheckResult", "GrpcCheck", "HttpCheck", "TcpCheck", "TtlCheck"]

CHECKS_MAX = 32
"""Checks of one instance."""
RESULTS = ("passing", "warning", "critical")
INITIALS = ("starting", "passing", "warning", "critical")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT")
COUNT_MAX = 100
INTERVAL_S_MIN = 0.1
INTERVAL_S_MAX = 86_400.0
TIMEOUT_S_MAX = 60.0
DEREGISTER_S_MAX = 30 * 86_400.0
HEADERS_MAX = 32
HEADER_SIZE_MAX = 1024
TEXT_SIZE_MAX = 1024
URL_SIZE_MAX = 2048
HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,253}")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
URL = re.compile(r"(https?://[^\s/?#@]+)?(/[\x21-\x22\x24-\x7e]*)?", re.ASCII)
STATUS = re.compile(r"[1-5]\d\d(-[1-5]\d\d)?(,[1-5]\d\d(-[1-5]\d\d)?){0,15}", re.ASCII)
FRAMING = frozenset(
    {"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that say how a request is sent, which is not for a check to say."""


@dataclass(frozen=True)
class CheckResult:
    """How one check of an instance is doing."""

    status: str
    """`passing`, `warning` or `critical`; `starting` before the first result."""
    note: str = ""
    """A sentence for people."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """What all checks have. Creating one raises InvalidArgument that names the field that is wrong.

    All times are in seconds.
    """

    KIND: ClassVar[str] = ""

    deregister_critical_after: float | None = None
    """The instance is removed when the check has been critical for so long; None: never."""

    def __post_init__(self) -> None:
        if self.deregister_critical_after is not None:
            _seconds(self.deregister_critical_after, "deregister_critical_after", DEREGISTER_S_MAX)

    def to_json(self) -> dict[str, Any]:
        """Returns the check as it stands in a definition; what has its default value is left out."""
        fields: dict[str, Any] = {"kind": self.KIND}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            default = item.default
            if item.default_factory is not dataclasses.MISSING:
                default = item.default_factory()
            if value == default and item.name not in _ALWAYS:
                continue
            if item.name in _TIMES:
                fields[f"{item.name}_ms"] = round(value * 1000)
            else:
                fields[item.name] = dict(value) if isinstance(value, Mapping) else value
        return fields


_TIMES = frozenset({"deregister_critical_after", "interval", "timeout", "ttl"})
_ALWAYS = frozenset({"interval", "timeout", "url"})
"""What makes a definition readable is always there."""


@dataclass(frozen=True, kw_only=True)
class _ActiveCheck(Check):
    """A check that the cluster runs."""

    interval: float = 10.0
    """From one run to the next."""
    timeout: float = 2.0
    """A run that takes longer has failed; at most a minute."""
    failures_before_critical: int = 2
    """How many runs one after the other must fail before the check is critical."""
    successes_before_passing: int = 1
    """How many must succeed before it is passing."""
    initial: str = "starting"
    """What counts before the first result; with `starting`, the instance is not healthy before it was seen to be."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _seconds(self.interval, "interval", INTERVAL_S_MAX, INTERVAL_S_MIN)
        _seconds(self.timeout, "timeout", TIMEOUT_S_MAX)
        for name in ("failures_before_critical", "successes_before_passing"):
            if not 1 <= validation.whole(getattr(self, name), name) <= COUNT_MAX:
                raise InvalidArgument(f"{name} is not between 1 and {COUNT_MAX}")
        if self.initial not in INITIALS:
            shown = validation.shown(self.initial)
            raise InvalidArgument(f"initial is {shown}, none of {', '.join(INITIALS)}")


@dataclass(frozen=True)
class HttpCheck(_ActiveCheck):
    """Passes when an HTTP request gets the status, and the body, that is expected. Redirects are not followed."""

    KIND = "http"

    url: str = "/"
    """`http://…` or `https://…`, or a path, which is asked for at the instance's own address and port over HTTP."""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    status: str = "200-299"
    """Codes and ranges of codes that pass, separated by commas: `200-299,404`."""
    body_contains: str = ""
    """A text that the body must contain, within the first bytes that the cluster reads of it."""
    tls_verify: bool = True
    """Whether the certificate of an `https` address must be valid."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _url(self.url)
        if self.method not in METHODS:
            shown = validation.shown(self.method)
            raise InvalidArgument(f"method is {shown}, none of {', '.join(METHODS)}")
        _headers(self.headers)
        if not isinstance(self.status, str) or not STATUS.fullmatch(self.status):
            raise InvalidArgument(
                f"status {validation.shown(self.status)} is not of the form 200-299,404"
            )
        if any(part[4:] and part[4:] < part[:3] for part in self.status.split(",")):
            raise InvalidArgument("status has a range whose end is before its beginning")
        if len(validation.text(self.body_contains, "body_contains")) > TEXT_SIZE_MAX:
            raise InvalidArgument(f"body_contains is longer than {TEXT_SIZE_MAX} characters")
        validation.flag(self.tls_verify, "tls_verify")


@dataclass(frozen=True, kw_only=True)
class TcpCheck(_ActiveCheck):
    """Passes when a connection can be made."""

    KIND = "tcp"

    host: str | None = None
    """Where to connect to; None: the instance's own address."""
    port: int | None = None
    """None: the instance's own port."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _target(self.host, self.port)


@dataclass(frozen=True, kw_only=True)
class GrpcCheck(_ActiveCheck):
    """Passes when the gRPC health service (`grpc.health.v1.Health`) says SERVING."""

    KIND = "grpc"

    service: str = ""
    """The service that is asked about; empty: the server as a whole."""
    host: str | None = None
    """Where to connect to; None: the instance's own address."""
    port: int | None = None
    """None: the instance's own port."""
    tls: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _target(self.host, self.port)
        if len(validation.text(self.service, "service")) > TEXT_SIZE_MAX:
            raise InvalidArgument(f"service is longer than {TEXT_SIZE_MAX} characters")
        validation.flag(self.tls, "tls")


@dataclass(frozen=True)
class TtlCheck(Check):
    """Passes as long as the program reports so, at least every `ttl` seconds; see `Registration.report`."""

    KIND = "ttl"

    ttl: float
    """How long a report counts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _seconds(self.ttl, "ttl", INTERVAL_S_MAX, 0.5)


def _seconds(value: float, name: str, most: float, least: float = 0.001) -> None:
    validation.timeout(value, name)
    if not least <= value <= most:
        raise InvalidArgument(f"{name} is {validation.shown(value)}, not {least} to {most} seconds")


def _url(url: str) -> None:
    fine = isinstance(url, str) and 0 < len(url) <= URL_SIZE_MAX and URL.fullmatch(url) is not None
    try:
        if fine and not url.startswith("/"):
            parts = urlsplit(url)
            fine = HOST.fullmatch(parts.hostname or "") is not None and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise InvalidArgument(f"url {validation.shown(url)} is no http(s) address and no path")


def _headers(headers: Mapping[str, str]) -> None:
    for name, value in validation.pairs(headers, "headers").items():
        if not HEADER_NAME.fullmatch(name) or name.lower() in FRAMING:
            raise InvalidArgument(
                f"headers: {validation.shown(name)} is none that a check can send"
            )
        if len(value) > HEADER_SIZE_MAX or not value.isprintable():
            raise InvalidArgument(f"headers: the value of {name} is too long, or not one line")
    if len(headers) > HEADERS_MAX:
        raise InvalidArgument(f"headers: more than {HEADERS_MAX}")


def _target(host: str | None, port: int | None) -> None:
    if host is not None and not (isinstance(host, str) and HOST.fullmatch(host)):
        raise InvalidArgument(f"host {validation.shown(host)} is not an IP address or host name")
    if port is not None and not 0 < validation.whole(port, "port") < 65_536:
        raise InvalidArgument(f"port {port} is not between 1 and 65535")


def definitions_of(checks: Mapping[str, Check] | None) -> dict[str, dict[str, Any]]:
    """Returns checks as they stand in a definition; raises InvalidArgument."""
    if checks is None:
        return {}
    if not isinstance(checks, Mapping):
        raise InvalidArgument(
            f"checks is {validation.shown(checks)}, not a mapping of names to checks"
        )
    for name, check in checks.items():
        if not isinstance(check, Check) or not check.KIND:
            raise InvalidArgument(f"check {name} is {validation.shown(check)}, not a check")
    return {name: check.to_json() for name, check in checks.items()}


# --- what the keys come to: the same as in the server (coordinator/catalog/health.py) -------------

NOTE_SIZE_MAX = 4096
RANKS = {"passing": 0, "warning": 1, "starting": 2, "critical": 3}
SILENT = CheckResult("critical", "nothing is reported")
SENSELESS = CheckResult("critical", "the result makes no sense")


@dataclass(frozen=True)
class KeptResult:
    """What stands in the key of a check's result."""

    result: CheckResult
    session: int
    mod_revision: int


def parse_result(value: bytes) -> CheckResult:
    """Returns the result in the value of a key; `critical` if it makes no sense."""
    fields = validation.json_object(value)
    if fields is None or fields.get("state") not in RESULTS:
        return SENSELESS
    note = fields.get("note")
    return CheckResult(fields["state"], note[:NOTE_SIZE_MAX] if isinstance(note, str) else "")


def result_json(result: CheckResult) -> bytes:
    """Returns the value of a result's key; raises InvalidArgument if it can't be one."""
    if result.status not in RESULTS:
        shown = validation.shown(result.status)
        raise InvalidArgument(f"status is {shown}, none of {', '.join(RESULTS)}")
    if len(validation.text(result.note, "note")) > NOTE_SIZE_MAX:
        raise InvalidArgument(f"note is longer than {NOTE_SIZE_MAX} characters")
    fields = {"state": result.status} | ({"note": result.note} if result.note else {})
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def result_of(
    definition: Mapping[str, Any], session: int, create_revision: int, kept: KeptResult | None
) -> CheckResult:
    """Returns how a declared check is doing; session and create_revision are those of the instance's definition."""
    silent = definition.get("kind") == TtlCheck.KIND
    if kept is not None and (
        silent or (kept.session == session and kept.mod_revision >= create_revision)
    ):
        return kept.result
    if silent:
        return SILENT
    initial = definition.get("initial")
    if not isinstance(initial, str) or initial not in INITIALS:
        initial = "starting"
    return CheckResult(initial, "no result yet")


def worst(status: str, note: str, checks: Mapping[str, CheckResult]) -> tuple[str, str]:
    """Returns what the state of an instance and its checks come to, and why."""
    if status not in RESULTS:
        return status, note
    reason = ""
    for name in sorted(checks):
        if RANKS[checks[name].status] > RANKS[status]:
            status, note, reason = checks[name].status, checks[name].note, name
    if reason:
        note = (f"{reason}: {note}" if note else reason)[:NOTE_SIZE_MAX]
    return status, note
