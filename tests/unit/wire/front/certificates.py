"""Certificates for tests, made by the program `openssl`."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")


class Authority:
    """Signs certificates of servers and clients."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.file = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=test authority"),
            *("-keyout", str(self._key), "-out", str(self.file)),
        )

    def issue(self, name: str) -> tuple[Path, Path]:
        """Returns the files of a certificate and its key."""
        folder = self._folder
        key, request, certificate = (folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        extension = folder / f"{name}.ext"
        extension.write_text(f"subjectAltName=DNS:{name}\n")
        _openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request)),
        )
        _openssl(
            *("x509", "-req", "-days", "2", "-in", str(request), "-CA", str(self.file)),
            *("-CAkey", str(self._key), "-CAcreateserial", "-extfile", str(extension)),
            *("-out", str(certificate)),
        )
        return certificate, key

    def client_context(
        self, *protocols: str, shown: tuple[Path, Path] | None = None
    ) -> ssl.SSLContext:
        """Returns what a client needs that trusts this authority; `shown`: its own certificate and key."""
        context = ssl.create_default_context(cafile=str(self.file))
        if protocols:
            context.set_alpn_protocols(list(protocols))
        if shown is not None:
            context.load_cert_chain(*shown)
        return context


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
