"""A classic server, put together from its settings: peers that run any code here, on one listener and one core."""

from __future__ import annotations

import getpass
import logging
import os
import signal
from typing import TYPE_CHECKING, Any

import msgspec

from anycore.cores import CoreLimits, Listener, load_core
from anycore.cores.pipes import PipeSocket, take_standard_streams
from anycore.kernel.incidents import Incidents
from anycore.rpyc.listening import serve_root
from anycore.rpyc.slave import SlaveService
from anycore.rpyc.starting import serve_socket
from anycore.server.certificates import Certificates
from anycore.server.errors import StartupError
from anycore.server.listeners import bind, bound_url, release
from anycore.server.tls import tls_context
from anycore.settings.tables import ListenSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.conversations.rpyc import RpycConversation
    from anycore.discovery import RegistryClient
    from anycore.kernel.call import Peer
    from anycore.objects.connection import Connection

_log = logging.getLogger("anycore.classic")

_LIMITS = CoreLimits(idle_time=0.0)
"""A master may be silent for as long as it likes: people type slowly."""


class ClassicSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a classic server is put together.

    Args:
        mode: The core: threaded, forking or oneshot.
        listen: Where masters connect.
        registries: Where it is registered; None for nowhere.
    """

    mode: str
    listen: ListenSettings
    registries: Any = None  # a RegistryClient or None: discovery is imported only where it is used


class _Guest(SlaveService):
    """A slave that tells the log who came and went.

    Args:
        peer: Who.
    """

    ALIASES = ("SLAVE",)

    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self._peer = peer

    def on_connect(self, conn: Connection) -> None:
        """Say who came."""
        _log.info("welcome %s", self._peer)
        super().on_connect(conn)

    def on_disconnect(self, conn: Connection) -> None:
        """Say who went."""
        super().on_disconnect(conn)
        _log.info("goodbye %s: %s", self._peer, conn.end_reason)


class ClassicServer:
    """One classic server.

    Args:
        settings: Everything that can be set.
        ready: Called once with host and port when masters can connect.

    Raises:
        StartupError: When it cannot listen, or there is no such core.
    """

    def __init__(
        self, settings: ClassicSettings, ready: Callable[[str, int], None] = lambda _host, _port: None
    ) -> None:
        self._settings = settings
        self._ready = ready
        self._incidents = Incidents()
        self._registration: Any = None
        self._signalled = False
        listen = settings.listen
        try:
            core = load_core(settings.mode)
        except LookupError as error:
            raise StartupError(str(error.args[0])) from error
        context = tls_context(listen)
        try:
            self._socket = bind(listen)
        except StartupError as error:
            raise StartupError(str(error).replace("--listen", "--host and --port")) from error
        self.url = bound_url(listen, self._socket)
        self.core = core([Listener(self._socket, self._open, self.url, context)], _LIMITS)
        self._certificates = Certificates(self.core.changing)
        self._certificates.add(listen, self.core.listeners[0])

    def _open(self, peer: Peer) -> RpycConversation:
        return serve_root(
            peer,
            _Guest(peer),
            config={"connid": str(peer), "credentials": peer.certificate},
            incidents=self._incidents,
            run_coroutine=self.core.run_coroutine,
        )

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, or until the core has had enough; a second SIGINT ends the process."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        try:
            self.core.run(self._startup, self._shutdown)
        finally:
            release(self._settings.listen, self._socket)

    def _stop(self, number: int, _frame: object) -> None:
        if self._signalled and number == signal.SIGINT:
            os._exit(130)
        self._signalled = True
        self.core.stop()

    def _startup(self) -> None:
        host, port = self._socket.getsockname()[:2]
        _log.warning("%s", warning(self.url, self._settings.listen))
        if self._settings.registries is not None:
            self._register(self._settings.registries, port)
        self._certificates.start()
        self._ready(host, port)

    def _register(self, registries: RegistryClient, port: int) -> None:
        from anycore.discovery import Registration

        self._registration = Registration(registries, SlaveService.get_service_aliases(), port)
        self._registration.start()

    def _shutdown(self) -> None:
        self._certificates.stop()
        if self._registration is not None:
            self._registration.stop()
        _log.info("stopped")


def warning(url: str, listen: ListenSettings) -> str:
    """Return what is to be said of a classic server before it serves.

    Args:
        url: Where it listens.
        listen: Its listener.
    """
    who = "anybody on this machine" if listen.address.local else "anybody who can reach it over the network"
    if listen.client_ca:
        who += f" with a certificate that {listen.client_ca} vouches for"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        user = str(os.getuid())
    return f"classic mode at {url}: {who} can run any code here, with all the rights of {user}"


def serve_stdio() -> None:
    """Serve the peer at standard input and output until it goes; see `take_standard_streams`."""
    taken = take_standard_streams()
    serve_socket(taken, SlaveService)
    if isinstance(taken, PipeSocket):
        taken.drain(_LIMITS.send_time)
