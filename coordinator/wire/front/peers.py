"""Who a client is, as far as its connection tells."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coordinator.errors import ConfigError

ALPN_HTTP1 = "http/1.1"
ALPN = ("h2", ALPN_HTTP1)


def peer_of(transport: asyncio.Transport) -> str:
    """Returns the address of a client in the form that gRPC gives it."""
    address = transport.get_extra_info("peername")
    if not isinstance(address, tuple):
        return "unknown"
    host, port = address[:2]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


def certificate_of(transport: asyncio.Transport) -> Mapping[str, Any] | None:
    """Returns a client's certificate as `ssl.SSLSocket.getpeercert` gives it; None: it showed none."""
    certificate: Mapping[str, Any] | None = transport.get_extra_info("peercert")
    return certificate or None


def chosen_protocol(transport: asyncio.BaseTransport) -> str | None:
    """Returns the protocol that client and server agreed on (RFC 7301); None: they did not, or without encryption."""
    encrypted = transport.get_extra_info("ssl_object")
    return None if encrypted is None else encrypted.selected_alpn_protocol()


def server_context(
    certificate: Path, key: Path, client_authorities: Path | None = None
) -> ssl.SSLContext:
    """Returns what a server needs for TLS 1.2 and 1.3. Raises ConfigError if a file can't be used.

    `certificate` may be a chain. With `client_authorities` every client must show a certificate signed by one of them.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # For TLS 1.2 what RFC 9113, section 9.2.2, leaves: forward secrecy and authenticated encryption.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(ALPN))
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"can't use certificate {certificate} with key {key}: {error}") from None
    if client_authorities is not None:
        try:
            context.load_verify_locations(client_authorities)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"can't use the authorities in {client_authorities}: {error}"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context
