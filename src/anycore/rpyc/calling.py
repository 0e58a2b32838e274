"""A client by URL, with the verbs of the clients of other wires: methods by dotted name, results by value, faults."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import unquote, urlsplit, urlunsplit

from anycore.clients.errors import CallTimeoutError, TransportError, failed
from anycore.clients.proxy import MethodProxy, checked
from anycore.objects.proxy import is_proxy
from anycore.rpyc.connecting import DEFAULT_PORT, DEFAULT_SSL_PORT, connect, ssl_connect, unix_connect
from anycore.rpyc.faults import fault_of, plain
from anycore.rpyc.login import check
from anycore.rpyc.root import DOTTED, local
from anycore.wire.faults import METHOD_NOT_FOUND, Fault
from anycore.wire.rpyc_constants import DIR, GETATTR, INSPECT

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from types import TracebackType

    from anycore.objects.connection import Connection

SCHEMES: Final = ("rpyc", "rpycs", "unix+rpyc")
FORMS: Final = "rpyc://host:port, rpycs://host:port, or unix+rpyc:///path/to.sock"
_PREFIX: Final = "exposed_"
_CONNECT_SECONDS: Final = 10.0
_get = object.__getattribute__


@dataclass(frozen=True, slots=True)
class RpycTarget:
    """Where an RPyC server is.

    Attributes:
        url: The URL, as messages show it.
        host: Name or address; empty for a Unix socket.
        port: TCP port; 0 for a Unix socket.
        socket: Path of the Unix socket; empty for TCP.
        tls: Whether to speak TLS.
    """

    url: str
    host: str
    port: int
    socket: str
    tls: bool


def parse_rpyc(url: str) -> RpycTarget:
    """Read the URL of an RPyC server: ``rpyc://host:port``, ``rpycs://host:port`` or ``unix+rpyc:///path/to.sock``.

    The port is 18812, with TLS 18821, unless given.

    Raises:
        ValueError: It is no such URL.
    """
    parts = urlsplit(url)
    shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    if parts.scheme not in SCHEMES:
        raise ValueError(f"{shown}: unknown scheme {parts.scheme!r}; give {FORMS}")
    if parts.username is not None:
        raise ValueError(f"{shown}: RPyC has no place for a name and password; sign in by other means")
    if parts.scheme == "unix+rpyc":
        path = unquote(parts.netloc or parts.path)
        if not path.startswith("/"):
            raise ValueError(f"{shown}: no path of a socket; give unix+rpyc:///path/to.sock, with three slashes")
        return RpycTarget(shown, "", 0, path, tls=False)
    tls = parts.scheme == "rpycs"
    try:
        port = (DEFAULT_SSL_PORT if tls else DEFAULT_PORT) if parts.port is None else parts.port
    except ValueError as error:
        raise ValueError(f"{shown}: {error}; give {FORMS}") from error
    if not parts.hostname or port == 0 or parts.path not in ("", "/") or parts.query:
        raise ValueError(f"{shown}: a host, perhaps a port and nothing else is needed; give {FORMS}")
    return RpycTarget(shown, parts.hostname, port, "", tls)


class RpycClient:
    """An RPyC server, with the verbs of `anycore.clients.Client`; any number of threads may share one.

    Methods are attributes: ``client.thermostat.set(21.5)`` calls ``conn.root.thermostat.set``. Built-in containers come by value.
    The connection is made when needed, and made anew by the next call when it has ended; no call is made twice.

    Args:
        url: See `parse_rpyc`.
        timeout: Seconds for each request, and for connecting; None for no limit.
        context: TLS settings; without them the server's certificate must be one that the system trusts.
        credentials: Name and password to sign in with; see `anycore.rpyc.connecting.connect`.
        token: A bearer token to sign in with, in their place.

    Raises:
        ValueError: The URL or the time-out has no meaning.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float | None = 30.0,
        context: ssl.SSLContext | None = None,
        credentials: tuple[str, str] | None = None,
        token: str = "",
    ) -> None:
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout {timeout!r}: give seconds above 0, or None for no limit")
        self._target = parse_rpyc(url)
        self._timeout = timeout
        self._context = context
        self._login: dict[str, Any] = {"credentials": credentials, "token": token} if check(credentials, token) else {}
        self._connection: Connection | None = None

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method.

        Args:
            name: Its path below the server's root.
            *args: Its arguments by position.
            **kwargs: Its arguments by name.

        Returns:
            Its result; built-in containers by value.

        Raises:
            Fault: The server raised an exception.
            TransportError: No answer could be had; `CallTimeoutError` when time ran out.
        """
        with self.telling():
            found = self.connection.root
            try:
                for part in name.split("."):
                    found = getattr(found, part)
            except AttributeError as error:
                raise Fault(METHOD_NOT_FOUND, f"{name}: {plain(error)}") from error
            if not callable(found):
                message = f"{name}: there is something of that name, but no method; `anycore methods URL` lists those there are"
                raise Fault(METHOD_NOT_FOUND, message)
            return local(found(*args, **kwargs))

    def methods(self) -> list[str]:
        """Return the names of the server's methods that this caller may know: what system.listMethods tells, or else what the root does."""
        try:
            names: list[str] = self.call("system.listMethods")
        except Fault:
            with self.telling():
                root = self.connection.root
                if _leads_on(root):
                    return sorted(self._below(root))
                listed = self.connection.sync_request(DIR, root)
            return sorted({str(one).removeprefix(_PREFIX) for one in listed if str(one).startswith(_PREFIX)})
        return names

    def _below(self, proxy: Any, before: str = "") -> Iterator[str]:
        """Return what a server of Anycore has below its root, or a plugin; to look there runs no code of a plugin."""
        for name in self.connection.sync_request(DIR, proxy):
            try:
                found = self.connection.sync_request(GETATTR, proxy, name)
            except AttributeError:  # it is hidden from us since
                continue
            if _leads_on(found):
                yield from self._below(found, f"{before}{name}.")
            else:
                yield f"{before}{name}"

    def help(self, name: str) -> str:
        """Return the documentation of a method: what system.methodHelp tells, or else its class."""
        try:
            text: str = self.call("system.methodHelp", name)
        except Fault:
            return self._inspected(name)
        return text

    def _inspected(self, name: str) -> str:
        with self.telling():
            root = self.connection.root
            routines = dict(
                self.connection.sync_request(INSPECT, _get(root, "____id_pack__")) if is_proxy(root) else ()
            )
        if name not in routines and _PREFIX + name not in routines:
            raise Fault(METHOD_NOT_FOUND, f"the server's root has no method {name!r}")
        return str(routines.get(_PREFIX + name) or routines.get(name) or "")

    def signature(self, name: str) -> Any:
        """Return the signatures of a method (system.methodSignature); other servers than Anycore's have none to tell."""
        return self.call("system.methodSignature", name)

    @property
    def connection(self) -> Connection:
        """The connection, made when there is none that lives.

        Raises:
            OSError: When none can be made.
        """
        connection = self._connection
        if connection is None or connection.closed:
            connection = self._connection = self._connect()
        return connection

    def _connect(self) -> Connection:
        target, config = self._target, {"sync_request_timeout": self._timeout}
        if target.socket:
            return unix_connect(target.socket, config=config, **self._login)
        seconds = min(self._timeout or _CONNECT_SECONDS, _CONNECT_SECONDS)
        if target.tls:
            return ssl_connect(
                target.host, target.port, config=config, context=self._context, timeout=seconds, **self._login
            )
        return connect(target.host, target.port, config=config, timeout=seconds, ipv6=":" in target.host, **self._login)

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Have errors in a block told as the clients of other wires tell them: as `Fault` and `TransportError`."""
        url = self._target.url
        try:
            yield
        except (Fault, TransportError):
            raise
        except Exception as error:
            if hasattr(error, "_remote_tb"):
                raise fault_of(error) from error
            if isinstance(error, TimeoutError) and self._connection is not None:
                seconds = f"within {self._timeout:g} seconds" if self._timeout is not None else "in time"
                raise CallTimeoutError(
                    f"no answer {seconds}; raise the client's timeout or ask for less", url
                ) from error
            if isinstance(error, OSError):
                raise failed(error, url, self._timeout) from error
            if isinstance(error, EOFError):
                raise TransportError(f"{error}; check that the server speaks RPyC there", url) from error
            raise

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getattr__(self, name: str) -> MethodProxy:
        return MethodProxy(self, checked(name))

    def __repr__(self) -> str:
        return f"<client of {self._target.url}>"


def _leads_on(found: Any) -> bool:
    """Tell whether something is the root of a server of Anycore, or the beginning of names below it."""
    return is_proxy(found) and _get(found, "____id_pack__")[0] in DOTTED
