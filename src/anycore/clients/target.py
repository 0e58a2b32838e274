"""What a client's URL says: the wire, where to connect, the path and the credentials. Nothing is connected here."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from urllib.parse import SplitResult

PATHS: Final = {"xmlrpc": "/RPC2", "jsonrpc": "/jsonrpc"}
FORMS: Final = (
    "http://host:port/path (XML-RPC), jsonrpc+http://host:port/path (JSON-RPC), https in place of http, "
    "or unix+http:///path/to.sock"
)
_IN_TARGET: Final = "/%:@!$&'()*+,;=~-._?"  # RFC 3986 section 3.3 and 3.4


@dataclass(frozen=True, slots=True)
class Target:
    """Where calls go.

    Attributes:
        wire: ``xmlrpc`` or ``jsonrpc``.
        url: The URL as messages show it: without credentials.
        host: Name or address; empty for a Unix socket.
        port: TCP port; 0 for a Unix socket.
        socket: Path of the Unix socket; empty for TCP.
        tls: Whether to speak TLS.
        path: The request target: path and query, percent-encoded.
        authorization: Value of the Authorization header; empty when the URL has no credentials.
    """

    wire: str
    url: str
    host: str
    port: int
    socket: str
    tls: bool
    path: str
    authorization: str = field(repr=False)

    @property
    def host_header(self) -> str:
        """The Host header (RFC 9112 section 3.2): the port only when it is not the scheme's own."""
        if self.socket:
            return "localhost"
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.tls else 80) else f"{name}:{self.port}"


def parse_target(url: str) -> Target:
    """Read a client's URL.

    The scheme is ``http`` or ``https``, with ``xmlrpc+`` (as without) or ``jsonrpc+`` before it to choose the wire, and
    with ``unix+`` for a socket in the file system: ``unix+http:///run/any.sock``, or with a path of its own
    ``unix+http://%2Frun%2Fany.sock/RPC2``. A URL without a path gets the wire's usual one.

    Raises:
        ValueError: It is no such URL.
    """
    parts = urlsplit(url)
    words = parts.scheme.split("+")
    transport, prefixes = words[-1], words[:-1]
    wires = [word for word in prefixes if word in PATHS]
    unix = "unix" in prefixes
    if transport not in ("http", "https") or len(wires) > 1 or len(prefixes) != len(wires) + unix:
        raise ValueError(f"{_shown(parts)}: unknown scheme {parts.scheme!r}; give {FORMS}")
    if unix and transport == "https":
        raise ValueError(f"{_shown(parts)}: TLS over a Unix socket is not supported; give unix+http:///path/to.sock")
    wire = wires[0] if wires else "xmlrpc"
    socket, path = _socket(parts) if unix else ("", parts.path)
    path = quote(path or PATHS[wire], safe=_IN_TARGET) + (f"?{quote(parts.query, safe=_IN_TARGET)}" * bool(parts.query))
    host, port = ("", 0) if unix else _address(parts, 443 if transport == "https" else 80)
    return Target(wire, _shown(parts), host, port, socket, transport == "https", path, _authorization(parts))


def _shown(parts: SplitResult) -> str:
    shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    # Of a scheme that it does not know, urlunsplit leaves an empty host out, and its slashes with it.
    return shown.replace(":", "://", 1) if parts.path.startswith("/") and "://" not in shown else shown


def _socket(parts: SplitResult) -> tuple[str, str]:
    host = unquote(parts.netloc.rpartition("@")[2])
    socket, path = (host, parts.path) if host else (unquote(parts.path), "")
    if not socket.startswith("/"):
        raise ValueError(f"{_shown(parts)}: no path of a socket; give unix+http:///path/to.sock, with three slashes")
    return socket, path


def _address(parts: SplitResult, default_port: int) -> tuple[str, int]:
    try:
        port = default_port if parts.port is None else parts.port
        host = (parts.hostname or "").encode("ascii" if (parts.hostname or "").isascii() else "idna").decode()
    except ValueError as error:  # UnicodeError too
        raise ValueError(f"{_shown(parts)}: {error}; give {FORMS}") from error
    if not host or port == 0 or any(letter <= " " for letter in host):
        raise ValueError(f"{_shown(parts)}: no host and port to connect to; give {FORMS}")
    return host, port


def _authorization(parts: SplitResult) -> str:
    """Basic credentials (RFC 7617 section 2, in UTF-8)."""
    if parts.username is None:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
