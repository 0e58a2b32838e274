"""A client of Clarens as its users had it, written from what is known of the wire, with the programs of OpenSSL for all arithmetic.

Nothing of Anycore is used here.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import re
import ssl
import subprocess
import xmlrpc.client
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)


def openssl(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class RefusedError(Exception):
    """The server did not answer with 200."""


class Client:
    """One HTTP/1.1 connection, and the session that calls over it present."""

    def __init__(self, url: str, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._path = "/clarens/"
        kind = http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=30)
        if context is not None:
            self._connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=30, context=context)
        self.name = self.secret = ""
        self.cookies: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, method: str, *params: Any) -> Any:
        headers = {"Content-Type": "text/xml", "User-Agent": "ClarensDpe.py version 1.4"}
        if self.name:
            pair = f"{self.name}:{self.secret}".encode()
            headers["AUTHORIZATION"] = "Basic " + base64.b64encode(pair).decode()
        self._connection.request("POST", self._path, xmlrpc.client.dumps(params, method), headers)
        response = self._connection.getresponse()
        body = response.read()
        for field in response.headers.get_all("Set-Cookie", []):
            name, _, value = field.partition(";")[0].partition("=")
            self.cookies[name] = value
        if response.status != 200:
            raise RefusedError(f"{response.status}: {body.decode(errors='replace')}")
        return xmlrpc.client.loads(body)[0][0]

    def choose_name(self, spelling: str) -> None:
        """Make a session name: 20 bytes, in hexadecimal as the client in Python, or in base64 with line breaks as that in C++."""
        digest = hashlib.sha1(os.urandom(20) + str(os.getpid()).encode()).digest()
        self.name = digest.hex() if spelling == "hexadecimal" else base64.b64encode(digest).decode() + "\r\n"

    def log_in(self, certificate: Path, key: Path, spelling: str = "base64") -> None:
        """Log in by challenge and response."""
        self.choose_name(spelling)
        self.secret = "".join(PEM.findall(certificate.read_text()))
        server, c1, c2 = self.call("system.auth")
        scratch = certificate.with_suffix(".scratch")
        scratch.write_text(server)
        name = openssl("pkeyutl", "-verifyrecover", "-certin", "-inkey", scratch, stdin=base64.b64decode(c2))
        assert name.decode() == "".join(self.name.split())
        nonce = openssl("pkeyutl", "-decrypt", "-inkey", key, stdin=base64.b64decode(c1))
        digest = hashlib.sha1(nonce).digest()
        self.secret = (
            digest.hex() if spelling == "hexadecimal" else base64.encodebytes(digest).decode().replace("\n", "\r\n")
        )

    def log_in_by_tls(self) -> None:
        """Log in with the certificate that was shown to TLS."""
        self.choose_name("hexadecimal")
        self.secret = "BROWSER"
        _, _, self.secret = self.call("system.auth2")
