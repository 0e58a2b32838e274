"""Who the peer is, by what another server says of it. What a peer itself has sent proves nothing here."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final

import msgspec

from anycore.cores.unix_peers import process_behind
from anycore.kernel.call import Peer

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator, Mapping

PEER: Final = "anycore.peer"
"""Where a server that we have started ourselves says who the peer is: an extension of a scope, or a variable of an environment."""
_VERSIONS: Final = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
SERVER: Final = "server"
"""Who names the host of a peer, where that is the server that we live in, and not the connection."""
UNKNOWN_TLS: Final = "TLS"
"""The version, where the server says no more than that there was one."""


def asgi_peer(scope: Mapping[str, Any]) -> Peer:
    """Make the peer of an ASGI scope.

    The TLS extension of ASGI is asked first, then the server that we have started ourselves, then the scope alone. In the last case a
    connection counts as encrypted when the server says `https`.

    Args:
        scope: The scope of a request.
    """
    extensions = scope.get("extensions") or {}
    told: Peer | None = extensions.get(PEER)
    tls = extensions.get("tls")
    if told is not None and not tls:
        return told
    version, certificate = _of_extension(tls) if tls else ("", None)
    if told is not None:
        return msgspec.structs.replace(told, tls=version, certificate=certificate or told.certificate)
    if not version and scope.get("scheme") == "https":
        version = UNKNOWN_TLS
    client = scope.get("client")
    if client and client[0] and _rewritten(client, scope.get("headers") or ()):
        return Peer("tcp", str(client[0]), 0, version, None, local=False, proxy=SERVER)
    return _named(client, scope.get("server"), version, certificate)


def _rewritten(client: Any, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether the server has put there what a proxy says, as uvicorn does.

    No connection comes from port 0; and where there is another port, the address is among those of `X-Forwarded-For`.
    """
    host = str(client[0])
    if client[1] == 0 and not host.startswith("unix:"):
        return True
    return any(name == b"x-forwarded-for" and host in _hosts(value.decode("latin-1")) for name, value in headers)


def _hosts(value: str) -> Iterator[str]:
    """Yield all that may be meant by a list of addresses, with and without what may be a port."""
    for one in value.split(","):
        text = one.strip()
        yield text
        yield text.strip("[]")
        yield text.rpartition(":")[0].strip("[]")


def _of_extension(tls: Mapping[str, Any]) -> tuple[str, bytes | None]:
    """Read the TLS extension of ASGI: the version, and the certificate that was verified."""
    version = _VERSIONS.get(tls.get("tls_version") or 0, UNKNOWN_TLS)
    chain = tls.get("client_cert_chain") or ()
    if not chain or tls.get("client_cert_error"):
        return version, None
    return version, ssl.PEM_cert_to_DER_cert(chain[0])


def _named(client: Any, server: Any, tls: str, certificate: bytes | None) -> Peer:
    if client and client[0] and not str(client[0]).startswith("unix:"):
        return Peer.of_address((client[0], client[1] or 0), tls, certificate)
    if server and (server[1] is None or str(server[0]).startswith("unix:")):
        return Peer("unix", "", 0, tls, certificate, local=True)
    # It may be anybody: nobody is local whose address is unknown.
    return Peer("tcp", "", 0, tls, certificate, local=False)


def wsgi_peer(environ: Mapping[str, Any]) -> Peer:
    """Make the peer of a WSGI environment.

    Only objects are believed about TLS and Unix sockets: some servers copy the environment of the process, and with it any variable
    that looks like a certificate's.

    Args:
        environ: The environment of a request.
    """
    told = environ.get(PEER)
    if isinstance(told, Peer):
        return told
    host, port = str(environ.get("REMOTE_ADDR") or ""), str(environ.get("REMOTE_PORT") or "")
    connected = environ.get("gunicorn.socket")
    if connected is not None and not isinstance(connected, str):
        return connected_peer(connected, (host, int(port) if port.isdigit() else 0))
    tls = UNKNOWN_TLS if environ.get("wsgi.url_scheme") == "https" else ""
    if not host or "/" in host or host.startswith("unix:"):
        return Peer("tcp", "", 0, tls, None, local=False)
    return Peer.of_address((host, int(port) if port.isdigit() else 0), tls)


def connected_peer(connected: socket.socket, address: tuple[str, int]) -> Peer:
    """Make the peer at the other end of a socket.

    Args:
        connected: The socket: an `SSLSocket` where TLS is spoken, whose hand-shake is done.
        address: Host and port as the server has them, which may be those that a proxy has told it.
    """
    encrypted = isinstance(connected, ssl.SSLSocket)
    version = (connected.version() or UNKNOWN_TLS) if isinstance(connected, ssl.SSLSocket) else ""
    certificate = connected.getpeercert(binary_form=True) if isinstance(connected, ssl.SSLSocket) else None
    if not address[0] and not encrypted and connected.family.name == "AF_UNIX":
        return Peer.of_address("", process=process_behind(connected))
    if not address[0]:
        return Peer("tcp", "", 0, version, certificate, local=False)
    return Peer.of_address(address, version, certificate)
