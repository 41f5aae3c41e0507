"""What a check in a definition asks for. Whoever writes the key may write anything: what is wrong gets a sentence.

docs/health.md has the fields; `coordinator_client.checks` refuses the same when a program registers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from coordinator.config import Limits

INITIALS = ("starting", "passing", "warning", "critical")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT")
DAY_MS = 86_400_000
TIMEOUT_MS_MAX = 60_000
COUNT_MAX = 100
HEADERS_MAX = 32
HEADER_SIZE_MAX = 1024
TEXT_SIZE_MAX = 1024
URL_SIZE_MAX = 2048

_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,253}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_URL = re.compile(r"(https?://[^\s/?#@]+)?(/[\x21-\x22\x24-\x7e]*)?", re.ASCII)
_STATUS = re.compile(r"[1-5]\d\d(-[1-5]\d\d)?(,[1-5]\d\d(-[1-5]\d\d)?){0,15}", re.ASCII)
_FRAMING = frozenset(
    {"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that say how the request is sent, which is not for the check to say."""


class WrongCheck(ValueError):
    """A check breaks a rule; the message begins with the name of the field."""


class HttpTarget(msgspec.Struct, frozen=True):
    """A request and what must come of it."""

    host: str
    port: int
    tls: bool
    path: str
    method: str
    headers: tuple[tuple[str, str], ...]
    status: str
    body_contains: str
    tls_verify: bool

    @property
    def authority(self) -> str:
        """What a client says in the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def expects(self, code: int) -> bool:
        """Whether a status passes."""
        for part in self.status.split(","):
            first, _, last = part.partition("-")
            if int(first) <= code <= int(last or first):
                return True
        return False


class TcpTarget(msgspec.Struct, frozen=True):
    """Where a connection must be possible."""

    host: str
    port: int


class GrpcTarget(msgspec.Struct, frozen=True):
    """Whose health service must say SERVING."""

    host: str
    port: int
    service: str
    tls: bool


Target = HttpTarget | TcpTarget | GrpcTarget


class Check(msgspec.Struct, frozen=True):
    """A check that keeps to the rules."""

    target: Target | None
    """None: the service reports by itself."""
    interval_s: float
    timeout_s: float
    failures_before_critical: int
    successes_before_passing: int
    deregister_s: float | None
    """How long it may be critical before the instance is removed; None: as long as it likes."""


def parse_check(fields: Mapping[str, Any], address: str, port: int, limits: Limits) -> Check:
    """Returns the check of an instance at an address; raises WrongCheck. Fields it does not know are passed over."""
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in _TARGETS:
        raise WrongCheck(f"kind is none of {', '.join(_TARGETS)}")
    deregister_ms = _number(fields, "deregister_critical_after_ms", None, 1, 30 * DAY_MS)
    deregister_s = None if deregister_ms is None else deregister_ms / 1000
    read = _TARGETS[kind]
    if read is None:
        if _number(fields, "ttl_ms", None, 500, DAY_MS) is None:
            raise WrongCheck("ttl_ms is missing")
        return Check(None, 0.0, 0.0, 1, 1, deregister_s)
    least = limits.check_interval_ms_min
    interval_ms = _number(fields, "interval_ms", max(10_000, least), least, DAY_MS) or 0
    timeout_ms = _number(fields, "timeout_ms", 2_000, 1, TIMEOUT_MS_MAX) or 0
    _word(fields, "initial", "starting", INITIALS)
    return Check(
        target=read(fields, address, port),
        interval_s=interval_ms / 1000,
        timeout_s=timeout_ms / 1000,
        failures_before_critical=_number(fields, "failures_before_critical", 2, 1, COUNT_MAX) or 0,
        successes_before_passing=_number(fields, "successes_before_passing", 1, 1, COUNT_MAX) or 0,
        deregister_s=deregister_s,
    )


def _http(fields: Mapping[str, Any], address: str, port: int) -> Target:
    url = _text(fields, "url", "/", URL_SIZE_MAX)
    if not url or not _URL.fullmatch(url):
        raise WrongCheck("url is neither http://…, https://… nor a path")
    tls, host, path = url.startswith("https:"), address, url
    if not url.startswith("/"):
        host, port, path = _split_url(url, 443 if tls else 80)
    status = _text(fields, "status", "200-299", TEXT_SIZE_MAX)
    if not _STATUS.fullmatch(status):
        raise WrongCheck("status is not of the form 200-299,404")
    if any(part[4:] and part[4:] < part[:3] for part in status.split(",")):
        raise WrongCheck("status has a range whose end is before its beginning")
    return HttpTarget(
        host=host,
        port=port,
        tls=tls,
        path=path,
        method=_word(fields, "method", "GET", METHODS),
        headers=_headers(fields.get("headers")),
        status=status,
        body_contains=_text(fields, "body_contains", "", TEXT_SIZE_MAX),
        tls_verify=_flag(fields, "tls_verify", True),
    )


def _split_url(url: str, port: int) -> tuple[str, int, str]:
    """Returns host, port and path of an absolute address; `port` is what goes without saying."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", port if parts.port is None else parts.port
    except ValueError:
        raise WrongCheck("url has no host and port that make sense") from None
    if not _HOST.fullmatch(host) or not port:
        raise WrongCheck("url has no host and port that make sense")
    return host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _tcp(fields: Mapping[str, Any], address: str, port: int) -> Target:
    return TcpTarget(*_place(fields, address, port))


def _grpc(fields: Mapping[str, Any], address: str, port: int) -> Target:
    service = _text(fields, "service", "", TEXT_SIZE_MAX)
    return GrpcTarget(*_place(fields, address, port), service, _flag(fields, "tls", False))


_TARGETS: Mapping[str, Callable[[Mapping[str, Any], str, int], Target] | None] = {
    "http": _http,
    "tcp": _tcp,
    "grpc": _grpc,
    "ttl": None,
}


def _place(fields: Mapping[str, Any], address: str, port: int) -> tuple[str, int]:
    host = _text(fields, "host", address, 253)
    if not _HOST.fullmatch(host):
        raise WrongCheck("host is not an IP address or host name")
    return host, _number(fields, "port", port, 1, 65_535) or 0


def _number(
    fields: Mapping[str, Any], name: str, default: int | None, least: int, most: int
) -> int | None:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise WrongCheck(f"{name} is not a whole number from {least} to {most}")
    return value


def _text(fields: Mapping[str, Any], name: str, default: str, size_max: int) -> str:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or len(value) > size_max:
        raise WrongCheck(f"{name} is not text of at most {size_max} characters")
    return value


def _word(fields: Mapping[str, Any], name: str, default: str, words: tuple[str, ...]) -> str:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or value not in words:
        raise WrongCheck(f"{name} is none of {', '.join(words)}")
    return value


def _flag(fields: Mapping[str, Any], name: str, default: bool) -> bool:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise WrongCheck(f"{name} is neither true nor false")
    return value


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict) or len(value) > HEADERS_MAX:
        raise WrongCheck(f"headers is not an object of at most {HEADERS_MAX} texts")
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _FRAMING:
            raise WrongCheck(f"headers has the name {name[:128]!r}, which a check can't send")
        if not isinstance(text, str) or len(text) > HEADER_SIZE_MAX or not text.isprintable():
            raise WrongCheck(f"headers: the value of {name} is not one line of text")
    return tuple(value.items())
