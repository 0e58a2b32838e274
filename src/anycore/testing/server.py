"""A whole server on this machine for as long as a test lasts: `running`. Real sockets, a real core, every wire."""

from __future__ import annotations

import inspect
import socket
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anycore.clients import connect
from anycore.conversations.http import HttpConversation
from anycore.conversations.site import HttpSite
from anycore.cores import Listener, load_core
from anycore.cores.base import CoreLimits
from anycore.kernel.kernel import Kernel
from anycore.kernel.registry import verify
from anycore.kernel.tally import Tally
from anycore.services.system import System
from anycore.testing.certificate import certificate_files, client_context, server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from anycore.clients import Client
    from anycore.conversations.site import Limits
    from anycore.cores.base import Core
    from anycore.kernel.plugin import Plugin

WIRES: Final = {"xmlrpc": "", "jsonrpc": "jsonrpc+"}
"""The wires, and what a client's URL has before its scheme for each."""
TRANSPORTS: Final = ("tcp", "tls", "mtls", "unix")
_PATIENCE: Final = 30.0


class RunningServer:
    """A server that serves.

    Attributes:
        core: Its core.
        kernel: Its kernel.
        address: Where it listens: `(host, port)`, or the path of a unix socket.
        transport: `tcp`, `tls`, `mtls` or `unix`.
        context: What a client needs to trust it over TLS, and to be trusted where client certificates are required; None without TLS.
    """

    def __init__(self, kernel: Kernel, bound: socket.socket, transport: str) -> None:
        self.kernel = kernel
        self.address: Any = bound.getsockname()
        self.transport = transport
        self.context: ssl.SSLContext | None = client_context(show=transport == "mtls") if self.tls else None
        self.core: Core

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS."""
        return self.transport in ("tls", "mtls")

    def url(self, wire: str = "jsonrpc") -> str:
        """Return the URL for clients of a wire, `xmlrpc` or `jsonrpc`."""
        if wire not in WIRES:
            raise ValueError(f"there is no wire {wire!r}; choose one of {', '.join(WIRES)}")
        if self.transport == "unix":
            return f"unix+{WIRES[wire]}http://{self.address}"
        host, port = self.address[:2]
        return f"{WIRES[wire]}{'https' if self.tls else 'http'}://{host}:{port}"

    @property
    def urls(self) -> dict[str, str]:
        """The URLs for clients, by wire."""
        return {wire: self.url(wire) for wire in WIRES}

    def connect(self, wire: str = "jsonrpc", **settings: Any) -> Client:
        """Return a client; see `anycore.clients.connect`."""
        return connect(self.url(wire), context=self.context, **settings)


@contextmanager
def running(
    *plugins: Plugin | type[Plugin],
    core: str | Callable[[Sequence[Listener], CoreLimits], Core] = "asyncio",
    transport: str = "tcp",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    limits: Limits | None = None,
    core_limits: CoreLimits | None = None,
) -> Iterator[RunningServer]:
    """Serve plugins on this machine for as long as the block lasts.

        with running(Thermostat) as server, server.connect("xmlrpc") as client:
            client.thermostat.set(21.5)

    The server runs in a thread. When the block ends it is stopped; calls under way are finished first.

    Args:
        *plugins: Plugins, or classes that are instantiated without arguments.
        core: A core's name, or what makes one.
        transport: `tcp` on a free port of 127.0.0.1, `tls` on the same with a certificate that `RunningServer.context` trusts, `mtls`
            with one that the client has to show, too, or `unix` on a socket in a directory of its own.
        settings: Tables of the configuration by plugin name, as in `[plugin.NAME]`.
        limits: Bounds on what one peer may send and ask for.
        core_limits: Bounds that the core keeps.

    Yields:
        The server, ready to be called.

    Raises:
        PluginRefusedError: When a plugin would be refused.
        Exception: What a plugin's start or stop raised.
    """
    if transport not in TRANSPORTS:
        raise ValueError(f"there is no transport {transport!r}; choose one of {', '.join(TRANSPORTS)}")
    made = [plugin() if isinstance(plugin, type) else plugin for plugin in plugins]
    entries = [verify(plugin, "running", (settings or {}).get(plugin.name)) for plugin in made]
    kernel = Kernel()
    site = HttpSite(kernel, limits=limits)
    with ExitStack() as stack:
        bound = stack.enter_context(_bound(transport, stack))
        server = RunningServer(kernel, bound, transport)
        tls = server_context(ask=transport == "mtls") if server.tls else None
        files = certificate_files() if tls is not None else ("", "")
        listener = Listener(bound, lambda peer: HttpConversation(peer, site), server.url(), tls, site, files)
        factory = load_core(core) if isinstance(core, str) else core
        server.core = factory([listener], core_limits if core_limits is not None else CoreLimits())
        server.core.tally = Tally(kernel.registry, site.incidents)
        kernel.registry.commit(
            [*entries, verify(System(kernel, server.core.run_coroutine, server.core.totals), "anycore")]
        )
        with _Life(server.core, made):
            yield server


def _bound(transport: str, stack: ExitStack) -> socket.socket:
    if transport == "unix":
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="anycore-"))
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(Path(directory) / "socket"))
    else:
        made = socket.socket()
        made.bind(("127.0.0.1", 0))
    return made


class _Life:
    """Runs a core in a thread and plugins with it, from their start to their stop."""

    def __init__(self, core: Core, plugins: Sequence[Plugin]) -> None:
        self._core = core
        self._plugins = plugins
        self._started: list[Plugin] = []
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="anycore-running", daemon=True)
        core.ready = self._ready.set

    def _run(self) -> None:
        try:
            self._core.run(self._startup, self._stop_plugins)
        except BaseException as error:  # noqa: BLE001 - raised in the thread of the test
            self._error = error
        finally:
            self._ready.set()

    def _startup(self) -> None:
        try:
            for plugin in self._plugins:
                self._settle(plugin.start())
                self._started.append(plugin)
        except BaseException:
            self._stop_plugins()
            raise
        if not self._core.several:
            self._ready.set()

    def _stop_plugins(self) -> None:
        with ExitStack() as stack:  # each is stopped, whatever another one raises
            for plugin in self._started:
                stack.callback(self._stop_one, plugin)
        self._started.clear()

    def _stop_one(self, plugin: Plugin) -> None:
        self._settle(plugin.stop())

    def _settle(self, result: Any) -> None:
        if inspect.iscoroutine(result):
            self._core.run_coroutine(result)

    def __enter__(self) -> None:
        self._thread.start()
        if not self._ready.wait(_PATIENCE):
            raise TimeoutError(f"the plugins had not started after {_PATIENCE} s")
        if self._error is not None:
            raise self._error

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._core.stop()
        self._thread.join(self._core.limits.stop_time + _PATIENCE)
        if self._thread.is_alive():
            raise TimeoutError("the core did not end")
        if self._error is not None:
            raise self._error
