"""`rpyc.core.stream`: what carries a connection's bytes, for programs that make or look into it. The bytes are moved by a pump, not here."""

from __future__ import annotations

import os
import select
import socket
import ssl
from contextlib import suppress
from typing import IO, Any, Self

from anycore.cores.pipes import as_socket
from anycore.cores.probing import probe

_ATTEMPTS = 6


class Stream:
    """What a `Channel` is made of. A connection takes over its socket and moves the bytes itself."""

    sock: socket.socket

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self.sock.fileno() == -1

    def close(self) -> None:
        """Close it."""
        with suppress(OSError):  # the other side was quicker
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        self.sock.close()

    def fileno(self) -> int:
        """Return its descriptor.

        Raises:
            EOFError: When it is closed.
        """
        if self.closed:
            raise EOFError("the stream is closed")
        return self.sock.fileno()

    def poll(self, timeout: float | None) -> bool:
        """Tell whether there is something to read, now or within some seconds; `None`: wait until there is."""
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))

    def read(self, count: int) -> bytes:
        """Read exactly so many bytes.

        Raises:
            EOFError: When the other side has gone first.
        """
        parts = []
        while count > 0:
            try:
                data = self.sock.recv(min(count, 1 << 18))
            except BlockingIOError:
                continue
            except OSError as error:
                self.close()
                raise EOFError(str(error)) from error
            if not data:
                self.close()
                raise EOFError("the connection was closed by the other side")
            parts.append(data)
            count -= len(data)
        return b"".join(parts)

    def write(self, data: bytes) -> None:
        """Write all of some bytes.

        Raises:
            EOFError: When the other side has gone.
        """
        try:
            self.sock.sendall(data)
        except OSError as error:
            self.close()
            raise EOFError(str(error)) from error


class SocketStream(Stream):
    """A connected socket.

    Args:
        sock: The socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    @classmethod
    def connect(
        cls,
        host: str,
        port: int,
        family: int = socket.AF_INET,
        socktype: int = socket.SOCK_STREAM,
        proto: int = 0,
        timeout: float | None = 3,
        nodelay: bool = True,
        keepalive: bool | int = False,
        attempts: int = _ATTEMPTS,
    ) -> Self:
        """Connect over TCP.

        Args:
            host: Name or address.
            port: The port.
            family: Of addresses: IPv4 or IPv6.
            socktype: Kind of socket.
            proto: Its protocol; 0 for the usual one.
            timeout: Seconds of one attempt; `None` for as long as the system tries.
            nodelay: Whether small messages go at once. They do, whatever is said: to hold them back costs 40 ms each.
            keepalive: Whether the system is to find out that the other side has gone: True for after 60 s, or a number of seconds.
            attempts: How often to try when time runs out.
        """
        del nodelay
        return cls(_connected(host, port, family, socktype, proto, timeout, keepalive, max(1, attempts)))

    @classmethod
    def unix_connect(cls, path: str, timeout: float | None = 3) -> Self:
        """Connect to a unix socket; `timeout` is in seconds."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(timeout)
            made.connect(path)
        except BaseException:
            made.close()
            raise
        return cls(made)

    @classmethod
    def ssl_connect(cls, host: str, port: int, ssl_kwargs: dict[str, Any], **kwargs: Any) -> Self:
        """Connect over TLS.

        Args:
            host: Name or address.
            port: The port.
            ssl_kwargs: `keyfile`, `certfile`, `ca_certs`, `cert_reqs`, `ssl_version`, `ciphers`, `check_hostname`, or a `context`.
            **kwargs: See `connect`.

        Raises:
            ssl.SSLError: When TLS is why it cannot be done.
        """
        context = ssl_kwargs.get("context") or _context(**ssl_kwargs)
        raw = cls.connect(host, port, **kwargs).sock
        try:
            return cls(context.wrap_socket(raw, server_hostname=host))
        except BaseException:
            raw.close()
            raise


class TunneledSocketStream(SocketStream):
    """A socket whose bytes go through a tunnel, which is closed with it.

    Args:
        sock: The socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.tun: Any = None

    def close(self) -> None:
        """Close the socket and the tunnel."""
        super().close()
        if self.tun is not None:
            self.tun.close()


class PipeStream(Stream):
    """Two pipes.

    Args:
        incoming: What is read.
        outgoing: What is written.
    """

    def __init__(self, incoming: IO[Any], outgoing: IO[Any]) -> None:
        outgoing.flush()
        self.incoming = incoming
        self.outgoing = outgoing
        self.sock = as_socket(incoming, outgoing)

    @classmethod
    def from_std(cls) -> Self:
        """Return standard input and output as a stream; the program must not use them otherwise."""
        return cls(os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb", 0))

    @classmethod
    def create_pair(cls) -> tuple[Self, Self]:
        """Return two streams, each of which reads what is written to the other."""
        one, two = os.pipe(), os.pipe()
        return (
            cls(os.fdopen(one[0], "rb", 0), os.fdopen(two[1], "wb", 0)),
            cls(os.fdopen(two[0], "rb", 0), os.fdopen(one[1], "wb", 0)),
        )


def _connected(
    host: str,
    port: int,
    family: int,
    kind: int,
    protocol: int,
    timeout: float | None,
    keepalive: bool | int,
    attempts: int,
) -> socket.socket:
    failed: OSError = OSError(f"{host} has no address of the family that was asked for")
    for attempt in range(attempts):
        for *what, _, address in socket.getaddrinfo(host, port, family, kind, protocol):
            made = socket.socket(*what)
            try:
                made.settimeout(timeout)
                made.connect(address)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if keepalive:
                    probe(made, 60 if keepalive is True else int(keepalive))
            except OSError as error:
                made.close()
                failed = error
            except BaseException:
                made.close()
                raise
            else:
                return made
        if not isinstance(failed, TimeoutError) or attempt + 1 == attempts:
            break
    raise failed


def _context(
    keyfile: str | None = None,
    certfile: str | None = None,
    ca_certs: str | None = None,
    cert_reqs: int | None = None,
    ssl_version: int | None = None,
    ciphers: str | None = None,
    check_hostname: bool = False,
) -> ssl.SSLContext:
    if ssl_version is None:
        made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    else:
        made = ssl.SSLContext(ssl_version)
    verify = cert_reqs if cert_reqs is not None else ssl.CERT_REQUIRED if ca_certs else ssl.CERT_NONE
    made.check_hostname = check_hostname and verify != ssl.CERT_NONE
    made.verify_mode = ssl.VerifyMode(verify)
    if certfile is not None:
        made.load_cert_chain(certfile, keyfile)
    if ca_certs is not None:
        made.load_verify_locations(ca_certs)
    if ciphers is not None:
        made.set_ciphers(ciphers)
    return made
