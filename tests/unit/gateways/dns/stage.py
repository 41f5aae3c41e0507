"""A catalog with instances of a test's choice, a zone over it, and dnspython to ask and to read what comes back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from coordinator.catalog.catalog import Catalog
from coordinator.gateways.dns.messages import Face
from coordinator.gateways.dns.rates import Rates
from coordinator.gateways.dns.responder import Responder
from coordinator.gateways.dns.zone import Zone
from coordinator.node.interface import Node
from coordinator.state.model import KeyValue

CLIENT = bytes([192, 0, 2, 1])
DOMAIN = (b"coordinator",)


class Stock(Catalog):
    """A catalog that is filled by hand."""

    def __init__(self) -> None:
        super().__init__(cast(Node, None))
        self._revision = 1
        self._ready.set()

    def add(self, service: str, id: str, address: str, port: int = 80, **more: Any) -> None:
        """Puts an instance there; `state` is its state, and `guarded` what the guard says of it."""
        state, guarded = more.pop("state", None), more.pop("guarded", False)
        fields = {"address": address, "port": port} | more
        self._put(f"/services/{service}/instances/{id}", json.dumps(fields))
        if state is not None:
            self._put(
                f"/services/{service}/state/{id}", json.dumps({"state": state, "guarded": guarded})
            )

    def publish(self, service: str, *proxies: dict[str, Any]) -> None:
        """Publishes proxies of a service."""
        self._put(f"/services/{service}/settings", json.dumps({"proxies": proxies}))

    def _put(self, key: str, value: str) -> None:
        self._revision += 1
        kv = KeyValue(key.encode(), value.encode(), self._revision, self._revision, 1, 0)
        self._index.put(kv, self._revision)

    def remove(self, service: str, id: str) -> None:
        self._revision += 1
        self._index.delete(f"/services/{service}/instances/{id}".encode(), self._revision)

    def unready(self) -> None:
        self._ready.clear()


def make_zone(stock: Stock, ttl_s: int = 0, negative_ttl_s: int = 0) -> Zone:
    return Zone(stock, DOMAIN, ttl_s, negative_ttl_s, lambda: [bytes([192, 0, 2, 53])])


def make_responder(
    stock: Stock,
    *,
    udp_size: int = 1232,
    recursive: bool = False,
    rate: int = 1000,
    ttl_s: int = 0,
    negative_ttl_s: int = 0,
) -> Responder:
    zone = make_zone(stock, ttl_s, negative_ttl_s)
    return Responder(zone, Face(udp_size, recursive), Rates(rate))


def query(name: str, type: str, size: int | None = 1232, **more: Any) -> dns.message.QueryMessage:
    edns = {} if size is None else {"use_edns": 0, "payload": size}
    return dns.message.make_query(name, type, **(edns | more))


def read(wire: bytes) -> dns.message.Message:
    """Parses an answer strictly: counts, lengths, names."""
    return dns.message.from_wire(wire, one_rr_per_rrset=False)


def ask(
    responder: Responder, name: str, type: str, size: int | None = 1232, *, stream: bool = False
) -> dns.message.Message:
    """Asks as a client would, and checks what holds for every answer."""
    asked = query(name, type, size)
    wire = asked.to_wire()
    answer = (
        responder.answer_message(wire) if stream else responder.answer_datagram(wire, CLIENT, 0.0)
    )
    assert isinstance(answer, bytes)
    assert len(answer) <= (65_535 if stream else size or 512)
    message = read(answer)
    assert asked.is_response(message)
    assert (message.edns >= 0) == (size is not None)
    return message


def texts(rrsets: Sequence[dns.rrset.RRset]) -> list[str]:
    """The records of a section in order, without name, TTL and class."""
    return [f"{dns.rdatatype.to_text(r.rdtype)} {rdata.to_text()}" for r in rrsets for rdata in r]


def found(responder: Responder, name: str, type: str) -> list[str]:
    """What a question over a connection finds, sorted."""
    return sorted(texts(ask(responder, name, type, stream=True).answer))


def code(message: dns.message.Message) -> str:
    return dns.rcode.to_text(message.rcode())
