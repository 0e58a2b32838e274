"""How a call fails before a server could answer it. Faults, which are answers, are in `anycore.wire.faults`."""

from __future__ import annotations

import socket
import ssl
from typing import Final

CURES: Final[dict[int, str]] = {
    301: "use the URL that it points to",
    302: "use the URL that it points to",
    307: "use the URL that it points to",
    308: "use the URL that it points to",
    400: "the server could not read the request; check that it speaks the wire that the URL's scheme chooses",
    401: "sign in: with a name and password, as in http://name:password@host/, a token or a client certificate that is valid",
    403: "ask the server's administrator to allow it for this user or this address",
    404: "nothing answers at the URL's path; usual ones are /RPC2 for XML-RPC and /jsonrpc for JSON-RPC",
    405: "the URL's path takes no calls; usual ones are /RPC2 for XML-RPC and /jsonrpc for JSON-RPC",
    407: "the proxy wants credentials",
    408: "the server waited too long for the request; the connection is slow or the request is large",
    411: "something between here and the server drops the length of requests",
    413: "the request is larger than the server allows; send less at once",
    415: "the server does not speak this wire or compression here; the schemes xmlrpc+http and jsonrpc+http choose one",
    429: "the server limits the rate of calls, or of attempts to sign in; wait, and check the credentials",
    431: "the request has too many headers",
    500: "the server failed; its log may say why",
    502: "the proxy cannot reach the server; check that the server runs",
    503: "the server is overloaded or in maintenance; try again later",
    504: "the server did not answer the proxy in time; raise the proxy's time-out or ask for less",
}

UNKNOWN_AUTHORITY: Final = "give a context that trusts its authority: ssl.create_default_context(cafile=...)"
_OTHER_NAME: Final = "call the server by a name that its certificate has, or give it one that has this name"
# X509_V_ERR_... of OpenSSL's x509_vfy.h, where another authority would not help.
_UNTRUSTED: Final[dict[int, str]] = {
    9: "it is not valid yet: compare the clocks of both machines",
    10: "it, or that of its authority, has ended: have it renewed, and compare the clocks of both machines",
    23: "it was revoked: have another one made for the server",
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}


class TransportError(Exception):
    """No answer to the call could be had: whether it was carried out is unknown, unless a status says otherwise.

    Args:
        message: What happened and how to cure it.
        url: Where, without credentials.
        status: The HTTP status, if the server answered with one that is the reason.
    """

    def __init__(self, message: str, url: str, status: int | None = None) -> None:
        super().__init__(message, url, status)
        self.message = message
        self.url = url
        self.status = status

    def __str__(self) -> str:
        return f"{self.url}: {self.message}"


class CallTimeoutError(TransportError, TimeoutError):
    """The call was not answered within its time; it may still be under way on the server."""


class UnsentError(ConnectionError):
    """The connection had ended before anything of the question was sent. The clients' own; callers get `failed` of it."""


class UnansweredError(ConnectionError):
    """The connection ended after something of the question was sent, and before anything of an answer had come.

    Whether the call was made cannot be known. The clients' own; callers get `failed` of it.
    """


def lost(error: BaseException | None, *, started: bool) -> OSError:
    """Return what the end of a connection means to a question of which something was sent.

    Args:
        error: What ended it, or None for an end in good order.
        started: Whether something of the answer had come.
    """
    if isinstance(error, TimeoutError) or (isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)):
        return error
    how = error or "the server closed it"
    if started:
        return ConnectionError(f"it ended within the answer ({how}); the call may or may not have been made")
    return UnansweredError(how)


def failed(error: OSError, url: str, timeout: float | None) -> TransportError:
    """Return what a client raises for a failure below HTTP.

    Args:
        error: The failure.
        url: Where, without credentials.
        timeout: The seconds that the client gave the call, or None.
    """
    if isinstance(error, TimeoutError):
        time = "in time" if timeout is None else f"within {timeout:g} seconds"
        return CallTimeoutError(f"no answer {time}; raise the client's timeout or ask for less", url)
    if isinstance(error, ssl.SSLCertVerificationError):
        cure = _UNTRUSTED.get(error.verify_code, UNKNOWN_AUTHORITY)
        message = f"the server's certificate is not trusted: {error.verify_message.rstrip('.')}; {cure}"
        return TransportError(message, url)
    if isinstance(error, ssl.SSLError):
        cure = "check that the port speaks TLS and which certificates the server wants"
        return TransportError(f"TLS failed: {error}; {cure}", url)
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
        return TransportError(f"nothing listens there ({error}); check the address and that the server runs", url)
    if isinstance(error, socket.gaierror):
        return TransportError(f"the host's name cannot be resolved ({error}); check its spelling", url)
    if isinstance(error, UnansweredError):
        cure = "find out before you make it again"
        message = f"the connection ended without an answer ({error}); the call may or may not have been made: {cure}"
        if url.partition("://")[0].endswith(
            "https"
        ):  # RFC 8446 section 4.4.2: the client learns of it after its hand-shake
            message += "; servers also turn away so who shows no certificate that they accept"
        return TransportError(message, url)
    return TransportError(f"the connection failed: {error}", url)
