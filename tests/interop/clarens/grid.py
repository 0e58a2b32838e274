"""Certificates as grids have them, made by the programs of OpenSSL."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

openssl: Any = runpy.run_path(str(Path(__file__).with_name("client.py")))["openssl"]

CONFIG = """
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[person]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = clientAuth
[server]
subjectAltName = DNS:localhost,IP:127.0.0.1
[proxy]
keyUsage = critical,digitalSignature,keyEncipherment
proxyCertInfo = critical,language:id-ppl-inheritAll
"""


class Grid:
    """A directory with an authority, a server, persons and proxies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "openssl.cnf").write_text(CONFIG)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/DC=org/DC=example/CN=Grid CA",
                "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-config", folder / "openssl.cnf", "-extensions", "ca")  # fmt: skip
        (folder / "authorities").mkdir()
        (folder / "authorities" / "grid.0").write_text((folder / "ca.pem").read_text())
        self.server = self.make("localhost", "server")
        combined = folder / "server-both.pem"
        combined.write_text(self.server[0].read_text() + self.server[1].read_text())

    def make(self, name: str, kind: str = "person") -> tuple[Path, Path]:
        """Return the files of a certificate by the authority and of its key."""
        return self._make(f"/DC=org/DC=example/CN={name}", name, kind, self.folder / "ca.pem", self.folder / "ca.key")

    def proxy(self, owner: tuple[Path, Path], kind: str) -> tuple[Path, Path]:
        """Return the files of a proxy, with the chain as `grid-proxy-init` leaves it, and of its key."""
        name = owner[0].stem
        last = "proxy" if kind == "old" else "4711"
        subject = f"/DC=org/DC=example/CN={name}/CN={last}"
        section = "person" if kind == "old" else "proxy"
        certificate, key = self._make(subject, f"{name}-{kind}", section, *owner)
        certificate.write_text(f"{certificate.read_text()}{key.read_text()}some text\n{owner[0].read_text()}")
        return certificate, key

    def _make(self, subject: str, file: str, section: str, issuer: Path, issuer_key: Path) -> tuple[Path, Path]:
        certificate, key, request = (self.folder / f"{file}{suffix}" for suffix in (".pem", ".key", ".csr"))
        openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", key, "-out", request,
                "-config", self.folder / "openssl.cnf")  # fmt: skip
        openssl("x509", "-req", "-in", request, "-days", "2", "-CA", issuer, "-CAkey", issuer_key, "-CAcreateserial",
                "-extfile", self.folder / "openssl.cnf", "-extensions", section, "-out", certificate)  # fmt: skip
        return certificate, key
