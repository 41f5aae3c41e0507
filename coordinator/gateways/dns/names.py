"""What names mean, and how they are written on the wire.

Below the domain, `coordinator.` unless another one is set:

    <service>.service               the healthy instances of a service
    <tag>.<service>.service         those with a tag
    _<service>._tcp.service         the same, as RFC 2782 asks for services; `_udp`, or `_<tag>` for a tag
    _<port>._<protocol>.<service>.service  their further ports of this name and protocol
    <hex>.addr                      an IP address, in hexadecimal
    ns                              the nodes that answer

and outside of it the reverse names of IP addresses.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

Labels = tuple[bytes, ...]

_NIBBLES = frozenset(b"0123456789abcdef")
_ANY_TRANSPORT = (b"_tcp", b"_udp")


class Kind(enum.Enum):
    """What a name names."""

    OUTSIDE = enum.auto()
    """Nothing of ours."""
    NOTHING = enum.auto()
    """It would be ours, and is not there."""
    PARENT = enum.auto()
    """Names below it exist; itself it has no records."""
    APEX = enum.auto()
    NAMESERVER = enum.auto()
    SERVICE = enum.auto()
    """By name and perhaps tag."""
    SERVICE_BY_RFC = enum.auto()
    """Likewise, for SRV records only."""
    PORT = enum.auto()
    """A further port, for SRV records only."""
    ADDRESS = enum.auto()
    REVERSE = enum.auto()


@dataclass(frozen=True, slots=True)
class Named:
    """What a name names, with what the kind needs."""

    kind: Kind
    service: str = ""
    tag: str = ""
    """In lower case; empty: any."""
    port: str = ""
    """In lower case, as its protocol is."""
    protocol: str = ""
    packed: bytes = b""
    """An IP address as 4 or 16 bytes."""


NOTHING = Named(Kind.NOTHING)
OUTSIDE = Named(Kind.OUTSIDE)
PARENT = Named(Kind.PARENT)


def read_domain(domain: str) -> Labels:
    """Returns the labels of a domain that was checked by the settings."""
    return tuple(domain.lower().rstrip(".").encode("ascii").split(b"."))


def read_name(labels: Labels, domain: Labels) -> Named:
    """Returns what a name in lower case names."""
    if labels[-len(domain) :] == domain:
        return _read_own(labels[: -len(domain)])
    if labels[-2:] in ((b"in-addr", b"arpa"), (b"ip6", b"arpa")):
        return _read_reverse(labels)
    return OUTSIDE


def _read_own(labels: Labels) -> Named:
    if not labels:
        return Named(Kind.APEX)
    *before, last = labels
    if last == b"service":
        return _read_service(tuple(before))
    if last == b"addr":
        return _read_address(tuple(before))
    return Named(Kind.NAMESERVER) if labels == (b"ns",) else NOTHING


def _read_service(labels: Labels) -> Named:
    if not labels:
        return PARENT
    *before, last = labels
    if last.startswith(b"_"):
        if not before:
            return PARENT
        if len(before) > 1 or not before[0].startswith(b"_") or last == b"_":
            return NOTHING
        tag = "" if last in _ANY_TRANSPORT else _text(last[1:])
        return Named(Kind.SERVICE_BY_RFC, service=_text(before[0][1:]), tag=tag)
    service = _text(last)
    if len(before) > 1 and before[0].startswith(b"_") and before[-1].startswith(b"_"):
        # The name of a port may have dots.
        port = ".".join(map(_text, before[:-1]))[1:]
        protocol = _text(before[-1][1:])
        return Named(Kind.PORT, service=service, port=port, protocol=protocol)
    return Named(Kind.SERVICE, service=service, tag=".".join(map(_text, before)))


def _text(label: bytes) -> str:
    # What is not ASCII names nothing; this keeps it different from all that does.
    return label.decode("latin-1")


def _read_address(labels: Labels) -> Named:
    if not labels:
        return PARENT
    if len(labels) != 1 or len(labels[0]) not in (8, 32) or not _NIBBLES.issuperset(labels[0]):
        return NOTHING
    return Named(Kind.ADDRESS, packed=bytes.fromhex(labels[0].decode("ascii")))


def _read_reverse(labels: Labels) -> Named:
    reversed_ = labels[-3::-1]
    if labels[-2] == b"in-addr":
        if len(reversed_) != 4 or not all(map(_is_octet, reversed_)):
            return OUTSIDE
        return Named(Kind.REVERSE, packed=bytes(int(octet) for octet in reversed_))
    nibbles = b"".join(reversed_)
    if len(reversed_) != 32 or len(nibbles) != 32 or not _NIBBLES.issuperset(nibbles):
        return OUTSIDE
    return Named(Kind.REVERSE, packed=bytes.fromhex(nibbles.decode("ascii")))


def _is_octet(label: bytes) -> bool:
    return (
        label.isdigit()
        and len(label) <= 3
        and int(label) < 256
        and str(int(label)).encode() == label
    )


def write_name(labels: Labels) -> bytes:
    """Returns a name as it stands in messages, not compressed."""
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def write_host(address: str) -> bytes:
    """Returns the name of a host as it stands in messages; nothing if DNS can't name it."""
    labels = tuple(address.removesuffix(".").encode("ascii").split(b"."))
    if ":" in address or "%" in address or labels[-1].isdigit():
        return b""
    if not all(0 < len(label) < 64 for label in labels):
        return b""
    name = write_name(labels)
    return name if len(name) <= 255 else b""
