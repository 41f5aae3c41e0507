"""Checks over HTTP."""

from __future__ import annotations

import aiohttp
from yarl import URL

from coordinator.checks.definitions import HttpTarget
from coordinator.checks.targets import Address

USER_AGENT = "coordinator-check"


class HttpProbe:
    """Makes one request for each run, over a connection of its own."""

    def __init__(self, body_bytes_max: int) -> None:
        self._body_bytes_max = body_bytes_max
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # How many run at once, and for how long, others see to.
            connector = aiohttp.TCPConnector(limit=0, force_close=True, use_dns_cache=False)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    async def probe(self, target: HttpTarget, address: Address) -> str | None:
        """Asks once; returns what is wrong, None if nothing is. Raises OSError if there is no connection."""
        scheme = "https" if target.tls else "http"
        try:
            async with self._open().request(
                target.method,
                # The address that was looked at, and no name that could lead somewhere else by now.
                URL(f"{scheme}://{address}{target.path}", encoded=True),
                headers={"Host": target.authority, **dict(target.headers)},
                allow_redirects=False,
                ssl=target.tls_verify,
                server_hostname=target.host if target.tls else None,
            ) as response:
                return await self._judge(target, response)
        except aiohttp.ClientConnectorCertificateError as error:
            return f"{address}: the certificate is not valid: {error.certificate_error}"
        except aiohttp.ClientSSLError as error:
            return f"{address}: TLS failed: {error.strerror or error}"
        except aiohttp.ClientOSError:
            raise
        except aiohttp.ClientResponseError as error:
            # Further lines hold what was received.
            reason = (error.message.splitlines() or [""])[0].rstrip(":")
            return f"{address}: no answer in HTTP: {reason}"
        except (aiohttp.ClientError, ValueError) as error:
            return f"{address}: no answer in HTTP: {error or type(error).__name__}"

    async def _judge(self, target: HttpTarget, response: aiohttp.ClientResponse) -> str | None:
        if not target.expects(response.status):
            return f"status {response.status}, not {target.status}"
        if not target.body_contains:
            return None
        wanted = target.body_contains.encode()
        body = b""
        while wanted not in body and len(body) < self._body_bytes_max:
            chunk = await response.content.read(self._body_bytes_max - len(body))
            if not chunk:
                break
            body += chunk
        if wanted in body:
            return None
        return (
            f"status {response.status}, but the body does not contain {target.body_contains[:64]!r}"
        )

    async def close(self) -> None:
        """Ends all connections."""
        if self._session is not None:
            await self._session.close()
