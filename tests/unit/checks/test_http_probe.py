"""Checks over HTTP ask for what they are told to, and look at status and body."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator

import pytest

from coordinator.checks.definitions import HttpTarget, parse_check
from coordinator.checks.http_probe import HttpProbe
from coordinator.checks.targets import Address, look_up
from coordinator.config import Limits

BODY_MAX = 4096


class Web:
    """Answers each request with the same bytes, and keeps what was asked."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked = b""
        self.ended = asyncio.Event()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        web = self

        class Connection(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                self.transport = transport

            def data_received(self, data: bytes) -> None:
                web.asked += data
                if b"\r\n\r\n" in web.asked:
                    self.transport.write(web.answer)

            def connection_lost(self, error: Exception | None) -> None:
                web.ended.set()

        server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
        try:
            yield int(server.sockets[0].getsockname()[1])
            await asyncio.wait_for(self.ended.wait(), 5)
        finally:
            server.close()


async def ask(answer: bytes, **fields: object) -> tuple[str | None, bytes]:
    web = Web(answer)
    probe = HttpProbe(BODY_MAX)
    try:
        async with web.serving() as port:
            check = parse_check({"kind": "http", **fields}, "127.0.0.1", port, Limits())
            assert isinstance(check.target, HttpTarget)
            (address,) = look_up("127.0.0.1", port)
            wrong = await probe.probe(check.target, address)
            return wrong, web.asked.replace(b":%d" % port, b":PORT")
    finally:
        await probe.close()


def answer(status: int = 200, body: bytes = b"", headers: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"HTTP/1.1 %d x\r\n" % status + length + headers + b"\r\n" + body


async def test_a_request_is_made_as_told() -> None:
    wrong, asked = await ask(
        answer(), url="/health?x=%20&y", method="HEAD", headers={"X-Team": "blue"}
    )
    lines = asked.decode().split("\r\n")
    assert wrong is None
    assert lines[0] == "HEAD /health?x=%20&y HTTP/1.1"
    assert {"Host: 127.0.0.1:PORT", "X-Team: blue", "User-Agent: coordinator-check"} <= set(lines)
    _, asked = await ask(answer(), headers={"host": "shop.example", "user-agent": "me"})
    lines = asked.decode().lower().split("\r\n")
    assert [line for line in lines if line.startswith("host:")] == ["host: shop.example"]
    assert "user-agent: me" in lines


async def test_a_host_name_is_told_and_not_asked_for_again() -> None:
    web = Web(answer())
    probe = HttpProbe(BODY_MAX)
    async with web.serving() as port:
        url = f"http://nobody.invalid:{port}/"
        check = parse_check({"kind": "http", "url": url}, "10.0.0.1", 1, Limits())
        assert isinstance(check.target, HttpTarget)
        (address,) = look_up("127.0.0.1", port)
        assert await probe.probe(check.target, address) is None
        assert f"Host: nobody.invalid:{port}\r\n".encode() in web.asked
    await probe.close()


@pytest.mark.parametrize(
    ("status", "expected", "wrong"),
    [
        (200, None, None),
        (204, None, None),
        (503, None, "status 503, not 200-299"),
        (404, "404", None),
        (302, None, "status 302, not 200-299"),
        (302, "300-399", None),
    ],
)
async def test_statuses(status: int, expected: str | None, wrong: str | None) -> None:
    # A redirect would lead to nobody's port.
    headers = b"Location: http://127.0.0.1:1/\r\n"
    assert (await ask(answer(status, headers=headers), status=expected))[0] == wrong


async def test_bodies_up_to_a_limit() -> None:
    assert (await ask(answer(body=b"all is w\xc3\xb6ll"), body_contains="wöll"))[0] is None
    assert "does not contain 'good'" in str(
        (await ask(answer(body=b"bad"), body_contains="good"))[0]
    )
    long = answer(body=b"x" * BODY_MAX + b"good")
    assert "does not contain" in str((await ask(long, body_contains="good"))[0])
    assert (await ask(answer(body=b"x" * (BODY_MAX - 4) + b"good!"), body_contains="good"))[
        0
    ] is None


@pytest.mark.parametrize(
    "junk", [b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 x\r\na" * 9000]
)
async def test_what_is_no_http_is_told(junk: bytes) -> None:
    wrong, _ = await ask(junk + b"\r\n\r\n")
    assert wrong is not None and "no answer in HTTP: " in wrong and "\n" not in wrong


async def test_who_is_not_there_is_another_matter() -> None:
    probe = HttpProbe(BODY_MAX)
    for tls in (False, True):
        target = HttpTarget("127.0.0.1", 1, tls, "/", "GET", (), "200", "", True)
        with pytest.raises(OSError):
            await probe.probe(target, Address(2, "127.0.0.1", 1))
    wrong, _ = await ask(b"junk\r\n\r\n\r\n\r\n")
    assert wrong is not None
    await probe.close()


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """What a server needs that says of itself that it is localhost, and of which nobody else does."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout {key} -out {certificate}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_certificates_are_looked_at_unless_told_otherwise(certified: ssl.SSLContext) -> None:
    names: list[str | None] = []
    certified.sni_callback = lambda connection, name, context: names.append(name)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certified)
    port = server.sockets[0].getsockname()[1]
    (address,) = look_up("127.0.0.1", port)
    probe = HttpProbe(BODY_MAX)
    for verify in (False, True):
        url = f"https://localhost:{port}/"
        check = parse_check(
            {"kind": "http", "url": url, "tls_verify": verify}, "127.0.0.1", 1, Limits()
        )
        assert isinstance(check.target, HttpTarget)
        wrong = await probe.probe(check.target, address)
        if verify:
            assert wrong is not None and "the certificate is not valid" in wrong
        else:
            assert wrong is None
    assert names == ["localhost", "localhost"]
    await probe.close()
    server.close()


async def test_tls_that_fails_is_told() -> None:
    # One that ends the connection at the first word, which is no word of HTTP.
    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 x\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(end, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    probe = HttpProbe(BODY_MAX)
    target = HttpTarget("127.0.0.1", port, True, "/", "GET", (), "200", "", True)
    wrong = await probe.probe(target, Address(2, "127.0.0.1", port))
    assert wrong is not None and "TLS failed" in wrong
    await probe.close()
    server.close()
