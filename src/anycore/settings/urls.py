"""The URL of a listener. Nothing is bound here."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

SCHEMES: Final = ("http", "https", "rpyc", "rpycs", "unix+http", "unix+rpyc", "stdio+http", "stdio+rpyc")
_SAFE: Final = {"http": "https", "rpyc": "rpycs"}
_EXAMPLE: Final = "write e.g. http://127.0.0.1:6789"


class ListenAddress(msgspec.Struct, frozen=True):
    """Where a listener is bound.

    Args:
        scheme: One of `SCHEMES`.
        host: Name or address without brackets; empty for a Unix socket, and for standard input and output.
        port: The TCP port; 0 for any free one, and where there is no host.
        path: The path of a Unix socket; else empty.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def tls(self) -> bool:
        """Whether the listener speaks TLS."""
        return self.scheme in _SAFE.values()

    @property
    def protocol(self) -> str:
        """What is spoken: `http` or `rpyc`."""
        return self.scheme.rpartition("+")[2].removesuffix("s")

    @property
    def stdio(self) -> bool:
        """Whether the connection is standard input and output; nothing is bound then."""
        return self.scheme.startswith("stdio+")

    @property
    def safe_scheme(self) -> str:
        """The scheme of the same protocol over TLS."""
        return _SAFE[self.protocol]

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the listener; of standard input that is seen when it is taken."""
        if self.path or self.stdio or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def with_port(self, port: int) -> str:
        """Return the URL with the port that was really bound.

        Args:
            port: The port.
        """
        if self.path:
            return f"{self.scheme}://{self.path}"
        if self.stdio:
            return f"{self.scheme}:"
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{port}"


def parse_listen_url(url: str) -> ListenAddress:
    """Read the URL of a listener.

    `http://host:port`, `https://host:port`, `rpyc://host:port`, `rpycs://host:port`, `unix+http:///path/of/socket`,
    `unix+rpyc:///path/of/socket`, `stdio+http:`, or `stdio+rpyc:`.

    Args:
        url: As the operator wrote it.

    Raises:
        ValueError: When it is none; the message says what was expected and the cure.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        message = f"expected the URL of a listener ({error}); {_EXAMPLE}"
        raise ValueError(message) from None
    scheme = parts.scheme
    if scheme.endswith(("+http", "+https")) and scheme not in SCHEMES:
        message = (
            f"a listener speaks every wire of HTTP, so its URL names none; write {scheme.rpartition('+')[2]}://..."
        )
        raise ValueError(message)
    if scheme.startswith("stdio+") and scheme in SCHEMES:
        if url.partition(":")[2] not in ("", "//"):
            message = f"standard input and output have no address; write {scheme}:"
            raise ValueError(message)
        return ListenAddress(scheme)
    if scheme not in SCHEMES or "://" not in url:
        message = f"expected a URL with one of the schemes {', '.join(SCHEMES)}; {_with_scheme(url)}"
        raise ValueError(message)
    if parts.query or parts.fragment or "@" in parts.netloc:
        message = f"the URL of a listener has no user, query or fragment; {_EXAMPLE}"
        raise ValueError(message)
    return _unix(parts) if scheme.startswith("unix+") else _tcp(parts, port)


def _with_scheme(url: str) -> str:
    """Return a cure for a URL without a scheme, which is often a port, or a host and port."""
    found = re.fullmatch(r"(?:([^\s/:]*|\[[0-9a-fA-F:.]+\]):)?(\d{1,5})/?", url)
    return f"write http://{found[1] or '127.0.0.1'}:{found[2]}" if found else _EXAMPLE


def _unix(parts: SplitResult) -> ListenAddress:
    path = unquote(parts.path)
    if parts.netloc or len(path) < 2:
        message = (
            "expected the absolute path of a socket, after three slashes; write e.g. unix+http:///run/anycore.sock"
        )
        raise ValueError(message)
    return ListenAddress(parts.scheme, path=path)


def _tcp(parts: SplitResult, port: int | None) -> ListenAddress:
    host = parts.hostname or ""
    if not host or host == "*" or any(letter.isspace() for letter in host):
        message = "expected a host; write 127.0.0.1 for this machine only, or 0.0.0.0 or [::] for all its addresses"
        raise ValueError(message)
    if port is None:
        message = f"expected a port; write e.g. {ListenAddress(parts.scheme, host).with_port(6789)}, or port 0 for any free one"
        raise ValueError(message)
    if parts.path not in ("", "/"):
        message = "expected no path, a listener answers on all of its paths; write " + ListenAddress(
            parts.scheme, host
        ).with_port(port)
        raise ValueError(message)
    return ListenAddress(parts.scheme, host, port)
