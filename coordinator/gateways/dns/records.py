"""Records as they stand in messages. Each belongs to the name that was asked for."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from coordinator.gateways.dns.queries import AAAA, CNAME, HINFO, IN, NS, PTR, SOA, SRV, TXT, A

ASKED = b"\xc0\x0c"
"""Points to the name in the question."""
TEXT_SIZE_BYTES_MAX = 255
_ALIAS = CNAME.to_bytes(2, "big")
_PRIORITY = 1
_WEIGHT_DEFAULT = 1
_TARGET_AT_SRV = 18
_TARGET_AT_NS = 12

_HEAD = struct.Struct(">HHIH")
_SRV = struct.Struct(">HHH")
_SOA = struct.Struct(">5I")


@dataclass(frozen=True, slots=True)
class Record:
    """One record of an answer."""

    wire: bytes
    target_at: int = 0
    """Where in `wire` the name begins that `extra` belongs to; 0: nothing belongs to it."""
    extra: bytes = b""
    """The address of the target without its name, to be added if there is room."""

    @property
    def is_alias(self) -> bool:
        """Whether it is a CNAME record."""
        return self.wire[2:4] == _ALIAS


def _body(type: int, ttl: int, content: bytes) -> bytes:
    return _HEAD.pack(type, IN, ttl, len(content)) + content


def write_address(packed: bytes, ttl: int) -> Record:
    """Returns the A or AAAA record of an address."""
    return Record(ASKED + _address_body(packed, ttl))


def _address_body(packed: bytes, ttl: int) -> bytes:
    return _body(A if len(packed) == 4 else AAAA, ttl, packed)


def write_alias(host: bytes, ttl: int) -> Record:
    """Returns the CNAME record that leads to a host."""
    return Record(ASKED + _body(CNAME, ttl, host))


def write_service(weight: int | None, port: int, target: bytes, packed: bytes, ttl: int) -> Record:
    """Returns an SRV record; `packed` is the address of its target, or empty."""
    share = _WEIGHT_DEFAULT if weight is None else weight
    wire = ASKED + _body(SRV, ttl, _SRV.pack(_PRIORITY, share, port) + target)
    if not packed:
        return Record(wire)
    return Record(wire, _TARGET_AT_SRV, _address_body(packed, ttl))


def write_text(pairs: Mapping[str, str], ttl: int) -> Record:
    """Returns a TXT record of `key=value` strings; pairs that have no room in one string are left out."""
    texts = (f"{key}={value}".encode() for key, value in pairs.items())
    return Record(
        ASKED + _body(TXT, ttl, _strings(t for t in texts if len(t) <= TEXT_SIZE_BYTES_MAX))
    )


def _strings(texts: Iterable[bytes]) -> bytes:
    # A TXT record holds at least one string, be it empty.
    return b"".join(bytes((len(text),)) + text for text in texts) or b"\0"


def write_pointer(name: bytes, ttl: int) -> Record:
    """Returns the PTR record that leads to a name."""
    return Record(ASKED + _body(PTR, ttl, name))


def write_nameserver(name: bytes, packed: bytes, ttl: int) -> Record:
    """Returns an NS record; `packed` is the address of the name server, or empty."""
    wire = ASKED + _body(NS, ttl, name)
    return Record(wire, _TARGET_AT_NS, _address_body(packed, ttl)) if packed else Record(wire)


def write_refusal_of_any(ttl: int) -> Record:
    """Returns what stands for all records when somebody asks for all (RFC 8482)."""
    return Record(ASKED + _body(HINFO, ttl, _strings((b"RFC8482",)) + b"\0"))


def write_authority(
    server: bytes, mailbox: bytes, serial: int, ttl: int, negative_ttl: int
) -> bytes:
    """Returns an SOA record without its name. `negative_ttl` is how long it may be kept that something is not there."""
    numbers = _SOA.pack(serial & 0xFFFFFFFF, 3600, 600, 86_400, negative_ttl)
    return _body(SOA, ttl, server + mailbox + numbers)
