"""Encryption: versions, protocols, and clients that show who they are."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest

from coordinator.errors import ConfigError
from coordinator.wire.front.peers import peer_of, server_context
from coordinator_client.pb import kv_pb2 as pb
from tests.unit.wire.echoing import put, serving, until
from tests.unit.wire.front.certificates import Authority, needs_openssl
from tests.unit.wire.front.raw_client import connected, framed

TELL = "/test.Service/Tell"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@needs_openssl
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_calls_over_tls(authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.client_context("h2")
    context.minimum_version = context.maximum_version = version
    encryption = server_context(*authority.issue("localhost"))
    async with (
        serving(encryption=encryption) as (_, _, port),
        connected(port, context=context) as client,
    ):
        reply = await client.call(TELL, framed(b""))
        told = pb.PutResponse.FromString(reply.messages[0]).key
        assert told == repr(("ipv4", [], None, None)).encode()
        encrypted = client.writer.get_extra_info("ssl_object")
        assert encrypted.selected_alpn_protocol() == "h2"
        # So much that it comes in many pieces.
        for size in (16_000, 500_000):
            reply = await client.call("/test.Service/Big", framed(put(b"%d" % size)))
            assert len(pb.PutResponse.FromString(reply.messages[0]).key) == size


@needs_openssl
async def test_old_versions_are_refused(authority: Authority) -> None:
    context = authority.client_context("h2")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(encryption=server_context(*authority.issue("localhost"))) as (_, _, port):
        with pytest.raises((ssl.SSLError, OSError)):
            await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )


@needs_openssl
async def test_clients_show_certificates(authority: Authority) -> None:
    server = server_context(*authority.issue("localhost"), authority.file)
    shown = authority.issue("somebody")
    async with serving(encryption=server) as (_, _, port):
        context = authority.client_context("h2", shown=shown)
        async with connected(port, context=context) as client:
            reply = await client.call(TELL, framed(b""))
            told = pb.PutResponse.FromString(reply.messages[0]).key.decode()
            assert "('commonName', 'somebody')" in told
        async with connected(port, context=authority.client_context("h2")) as stranger:
            await asyncio.wait_for(stranger.closed.wait(), 5)


@needs_openssl
async def test_grpc_clients_over_tls(authority: Authority) -> None:
    certificate, key = authority.issue("localhost")
    credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
    options = (("grpc.ssl_target_name_override", "localhost"),)
    async with serving(encryption=server_context(certificate, key)) as (_, _, port):
        address = f"127.0.0.1:{port}"
        async with grpc.aio.secure_channel(address, credentials, options) as channel:
            echo: Any = channel.unary_unary("/test.Service/Echo")
            assert await echo(put(b"x"), timeout=10)


@needs_openssl
async def test_a_server_that_stops_closes_encrypted_connections(authority: Authority) -> None:
    encryption = server_context(*authority.issue("localhost"))
    async with (
        serving(encryption=encryption) as (server, _, port),
        connected(port, context=authority.client_context("h2")) as client,
    ):
        assert (await client.call("/test.Service/Echo", framed(put(b"x")))).status == "0"
        await server.stop(1)
        await until(lambda: client.closed.is_set())
        assert [code for code, _, _ in client.goaways] == [0, 0]


def test_files_that_can_not_be_used(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    with pytest.raises(ConfigError, match=r"nothing\.pem"):
        server_context(nothing, nothing)
    nothing.write_text("no certificate")
    with pytest.raises(ConfigError, match="can't use certificate"):
        server_context(nothing, nothing)


@needs_openssl
def test_authorities_that_can_not_be_used(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="authorities"):
        server_context(*authority.issue("localhost"), tmp_path / "none.pem")


class Named(asyncio.Transport):
    def __init__(self, name: object) -> None:
        super().__init__({"peername": name})


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        (("10.0.0.1", 80), "ipv4:10.0.0.1:80"),
        (("::1", 80, 0, 0), "ipv6:[::1]:80"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_peers_are_named_as_grpc_names_them(name: object, peer: str) -> None:
    assert peer_of(Named(name)) == peer
