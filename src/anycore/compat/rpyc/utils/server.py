"""`rpyc.utils.server`: servers with RPyC's constructor, life cycle and hooks. Bytes are moved by `anycore.cores.pump`, not here.

A subclass may override `_accept_method(sock)`, and `_authenticate_and_serve_client`, `_serve_client` and `_handle_connection`, which follow it.
The servers with a pool of threads and with processes are in `_pool_server` and `_forking_server`.
"""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

from anycore.compat.rpyc.core.channel import Channel
from anycore.compat.rpyc.core.service import connect_service
from anycore.compat.rpyc.core.stream import SocketStream
from anycore.compat.rpyc.lib import spawn, spawn_waitready
from anycore.compat.rpyc.utils.authenticators import AuthenticationError
from anycore.compat.rpyc.utils.factory import serve_channel
from anycore.compat.rpyc.utils.registry import UDPRegistryClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from anycore.compat.rpyc.core.protocol import Connection
    from anycore.compat.rpyc.utils._forking_server import ForkingServer
    from anycore.compat.rpyc.utils._pool_server import ThreadPoolServer

__all__ = [
    "AuthenticationError", "Channel", "ForkingServer", "GeventServer", "OneShotServer", "Server", "SocketStream", "ThreadPoolServer",
    "ThreadedServer", "UDPRegistryClient", "serve_socket", "spawn", "spawn_waitready",
]  # fmt: skip

_GONE: Final = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK})
_CLOSE_SECONDS: Final = 1.0


class Server:
    """Accepts connections, and leaves to subclasses how each is served.

    Args:
        service: What is served: a class, made for each connection, or an instance that all share.
        hostname: The address to bind to; all when left out.
        ipv6: Whether to use IPv6.
        port: The port; 0 for a free one.
        backlog: How many connections may wait to be accepted.
        reuse_addr: Whether the port may still be in use by connections of an earlier server.
        authenticator: Takes a socket and returns one with what it has found out, or raises AuthenticationError.
        registrar: A client of a registry to be registered with.
        auto_register: Whether to register; when left out, where a registrar is given.
        protocol_config: Keys of the connections' configuration that differ from the defaults; looked at for each new connection.
        logger: Where messages go.
        listener_timeout: Seconds after which the thread that accepts looks whether it is to stop; `None` for never.
        socket_path: Path of a unix socket in place of host and port.
        max_clients: How many connections there may be at a time; ours, RPyC has no limit.
        authentication_timeout: Seconds that the authenticator may take; ours, RPyC waits for ever.

    Attributes:
        active: Whether it accepts connections.
        clients: The sockets of connections.
        host: Where it listens; empty for a unix socket.
        port: Its port, or the path.

    Raises:
        OSError: When it cannot listen there.
        ValueError: When both an address and a path are given.
    """

    def __init__(
        self,
        service: Any,
        hostname: str | None = None,
        ipv6: bool = False,
        port: int | str = 0,
        backlog: int = socket.SOMAXCONN,
        reuse_addr: bool = True,
        authenticator: Callable[[socket.socket], tuple[Any, Any]] | None = None,
        registrar: Any = None,
        auto_register: bool | None = None,
        protocol_config: dict[str, Any] | None = None,
        logger: logging.Logger | None = None,
        listener_timeout: float | None = 0.5,
        socket_path: str | None = None,
        *,
        max_clients: int = 4096,
        authentication_timeout: float = 30.0,
    ) -> None:
        self.active = False
        self._closed = False
        self._ending = threading.Lock()
        self._stopped = threading.Event()
        self.service = service
        self.authenticator = authenticator
        self.backlog = backlog
        self.auto_register = registrar is not None if auto_register is None else auto_register
        self.protocol_config = {} if protocol_config is None else protocol_config
        self.clients: set[Any] = set()
        self.max_clients = max_clients
        self.authentication_timeout = authentication_timeout
        self.host: str
        self.port: Any
        if socket_path is not None:
            if hostname is not None or port != 0 or ipv6:
                raise ValueError("socket_path excludes hostname, port and ipv6; give one or the other")
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._bind(socket_path)
            self.host, self.port = "", socket_path
        else:
            family = socket.AF_INET6 if ipv6 else socket.AF_INET
            found = socket.getaddrinfo(hostname, port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            self.listener = socket.socket(family, socket.SOCK_STREAM)
            if reuse_addr:
                self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._bind(found[0][4])
            self.host, self.port = self.listener.getsockname()[:2]
        self.listener.settimeout(listener_timeout)
        self.logger = logger or logging.getLogger(f"{service.get_service_name()}/{self.port}")
        self.protocol_config.setdefault("logger", self.logger)
        self.registrar = UDPRegistryClient(logger=self.logger) if registrar is None else registrar

    def _bind(self, address: Any) -> None:
        try:
            self.listener.bind(address)
        except BaseException:
            self.listener.close()
            raise

    # The life of the server.

    def start(self) -> None:
        """Accept connections until `close` is called, by another thread or a service, or Ctrl-C is pressed."""
        self._listen()
        self._register()
        try:
            while self.active:
                self.accept()
        except EOFError:
            self.logger.debug("closed by another thread")
        except KeyboardInterrupt:
            self.logger.warning("keyboard interrupt!")
        finally:
            self.logger.info("server has terminated")
            self.close()

    def _start_in_thread(self) -> threading.Thread:
        """Start in a thread; when this returns, clients can connect."""
        return spawn_waitready(self._listen, self.start)[0]

    def _listen(self) -> None:
        if self.active or self._closed:
            return
        self.listener.listen(self.backlog)
        self.active = True
        self.logger.info("server started on [%s]:%s", self.host, self.port)

    def close(self) -> None:
        """Stop accepting, take back the registration, and end all connections. Counts only once."""
        with self._ending:
            if self._closed:
                return
            self._closed = True
        self.active = False
        self._stopped.set()
        with suppress(OSError):  # it did not listen yet
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.logger.info("listener closed")
        for client in set(self.clients):
            _shut(client)
        self._wind_down()
        self.clients.clear()

    def _wind_down(self) -> None:
        """Called by `close` when all sockets have been shut down, to wait a moment for what serves them."""

    def fileno(self) -> int:
        """Return the listener's descriptor."""
        return self.listener.fileno()

    # One connection.

    def accept(self) -> None:
        """Wait for a connection and have it served; returns without when the server is closed.

        Raises:
            EOFError: When the listener has been closed.
        """
        while self.active:
            self._tick()
            try:
                sock, address = self.listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if error.errno in _GONE:
                    raise EOFError("the listener is closed") from error
                time.sleep(0.05)  # out of descriptors, most likely: let connections end before the next try
                continue
            if self._stopped.is_set() or self._count() >= self.max_clients:
                self.logger.warning(
                    "%s is refused: %d connections are open, or the server ends", address, self._count()
                )
                sock.close()
                continue
            sock.setblocking(True)
            self.logger.info("accepted %s with fd %d", address, sock.fileno())
            self.clients.add(sock)
            self._accept_method(sock)
            return

    def _tick(self) -> None:
        """Called before each wait for a connection."""

    def _count(self) -> int:
        return len(self.clients)

    def _accept_method(self, sock: socket.socket) -> None:
        """Have a connection served: in a thread, a process or anything else that calls `_authenticate_and_serve_client`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how connections are served")

    def _authenticate_and_serve_client(self, sock: socket.socket) -> None:
        connected = sock
        try:
            connected, credentials = self._authenticated(sock)
            self._serve_client(connected, credentials)
        except AuthenticationError as error:
            self.logger.info("a client failed to authenticate, so its connection is closed: %s", error)
        except Exception:
            self.logger.exception("client connection terminated abruptly")
        finally:
            for one in {sock, connected}:
                self.clients.discard(one)
                _shut(one)
                one.close()

    def _authenticated(self, sock: socket.socket) -> tuple[Any, Any]:
        """Return the socket to speak over, and what the authenticator says of who is there."""
        if self.authenticator is None:
            return sock, None
        with self._guarded(sock):
            connected, credentials = self.authenticator(sock)
        self.clients.discard(sock)
        self.clients.add(connected)
        return connected, credentials

    @contextmanager
    def _guarded(self, sock: socket.socket) -> Iterator[None]:
        """Cut the connection when this takes too long, or the server is closed: the original may be detached by then."""
        guard = sock.dup()
        timer = threading.Timer(self.authentication_timeout, _shut, (guard,))
        timer.daemon = True
        self.clients.discard(sock)
        self.clients.add(guard)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self.clients.discard(guard)
            guard.close()

    def _serve_client(self, sock: Any, credentials: Any) -> None:
        address = sock.getpeername()
        self.logger.info("welcome %s%s", address, f" ({credentials!r})" if credentials else "")
        try:
            self._handle_connection(self._connected(sock, credentials))
        finally:
            self.logger.info("goodbye %s", address)

    def _connected(self, sock: Any, credentials: Any, **more: Any) -> Connection:
        config = dict(
            self.protocol_config,
            credentials=credentials,
            endpoints=(sock.getsockname(), sock.getpeername()),
            logger=self.logger,
            **more,
        )
        return connect_service(self.service, Channel(SocketStream(sock)), config)

    def _handle_connection(self, conn: Connection) -> None:
        """Serve a connection until it ends."""
        conn.serve_all()

    # The registry.

    def _register(self) -> None:
        if self.auto_register:
            spawn(self._bg_register)

    def _bg_register(self) -> None:
        registered = False
        while True:
            try:
                done = self.registrar.register(self.service.get_service_aliases(), self.port, interface=self.host)
            except Exception:
                done = False
                self.logger.exception("registering failed")
            registered = registered or done
            if self._stopped.wait(self.registrar.REREGISTER_INTERVAL if done else 1.0):
                break
        if registered:
            try:
                self.registrar.unregister(self.port)
            except Exception:
                self.logger.exception("unregistering failed")


class OneShotServer(Server):
    """Serves the first connection, in the thread that accepts, and ends. For the arguments see `Server`."""

    def _accept_method(self, sock: socket.socket) -> None:
        try:
            self._authenticate_and_serve_client(sock)
        finally:
            self.close()


class ThreadedServer(Server):
    """A thread for each connection. For the arguments see `Server`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._threads: set[threading.Thread] = set()

    def _accept_method(self, sock: socket.socket) -> None:
        name = f"anycore-client-{sock.fileno()}"
        thread = threading.Thread(target=self._labour, args=(sock,), name=name, daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:
            self.logger.warning("a connection is refused: %s", error)
            self._threads.discard(thread)
            self.clients.discard(sock)
            sock.close()

    def _labour(self, sock: socket.socket) -> None:
        try:
            self._authenticate_and_serve_client(sock)
        finally:
            self._threads.discard(threading.current_thread())

    def _wind_down(self) -> None:
        end = time.monotonic() + _CLOSE_SECONDS
        for thread in self._threads - {threading.current_thread()}:
            thread.join(max(0.0, end - time.monotonic()))


class GeventServer(Server):
    """RPyC's server for gevent. There is none here."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise ImportError(
            "GeventServer is not part of anycore.compat.rpyc: its connections wait in the kernel, which gevent would have to patch; use"
            " ThreadedServer, or ThreadPoolServer for many connections"
        )


def serve_socket(
    sock: socket.socket,
    service: Any,
    config: Mapping[str, Any] | None = None,
    namespace: dict[str, Any] | None = None,
) -> None:
    """Serve one connected socket until it closes.

    Args:
        sock: The socket; closed at the end.
        service: What is served: a class, made for this connection, or an instance.
        config: Keys of the configuration that differ from the defaults.
        namespace: What a classic service keeps its names in.
    """
    serve_channel(Channel(SocketStream(sock)), service, config, namespace)


def _shut(client: Any) -> None:
    """End a connection; the thread that serves it finds out, and closes the socket."""
    with suppress(OSError):  # it has ended already
        if isinstance(client, socket.socket):
            socket.socket.shutdown(client, socket.SHUT_RDWR)  # also of a TLS socket: its TLS is another thread's
        else:
            client.shutdown(socket.SHUT_RDWR)


_ELSEWHERE: Final = {"ThreadPoolServer": "_pool_server", "ForkingServer": "_forking_server"}


def __getattr__(name: str) -> Any:
    """Return the servers that are in modules of their own, which import this one."""
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__.rpartition('.')[0]}.{_ELSEWHERE[name]}"), name)
