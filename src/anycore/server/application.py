"""A whole server, put together from its settings: kernel, plugins, site, listeners, core; and its life from start to stop."""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import ExitStack
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from anycore.console.health import Health
from anycore.console.metrics import Metrics, MetricsPage
from anycore.console.status import StatusPage
from anycore.conversations.http import HttpConversation
from anycore.conversations.site import HttpSite
from anycore.cores import Listener, load_core
from anycore.cores.base import UnservableError
from anycore.kernel.incidents import Incidents
from anycore.kernel.kernel import Kernel
from anycore.kernel.registry import PluginRefusedError, verify
from anycore.kernel.tally import Tally, Totals
from anycore.rpyc.listening import serve_root
from anycore.rpyc.root import PluginRoot
from anycore.server.certificates import Certificates
from anycore.server.errors import StartupError
from anycore.server.introduction import introduce
from anycore.server.listeners import bind, bound_url, release
from anycore.server.logs.access import AccessLog
from anycore.server.parts import parts_of
from anycore.server.plugins import Plugins
from anycore.server.tls import tls_context
from anycore.services.system import System

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Coroutine, Sequence
    from contextlib import AbstractContextManager

    from anycore.conversations.base import Conversation
    from anycore.conversations.site import Page
    from anycore.cores import Core, CoreLimits
    from anycore.cores.base import Figures
    from anycore.kernel.call import Peer
    from anycore.server.announcement import Announcement
    from anycore.settings.tables import ListenSettings, Settings

_log = logging.getLogger("anycore.server")


class Server:
    """One server process.

    Args:
        settings: Everything that can be set.
        announce: Called once when the server is ready, with what there is to say about it.
        core: Makes the core; the one that the settings name when left out.
    """

    def __init__(
        self,
        settings: Settings,
        announce: Callable[[Announcement], None] = lambda _: None,
        core: Callable[[Sequence[Listener], CoreLimits], Core] | None = None,
    ) -> None:
        self._settings = settings
        self._announce = announce
        self._ready = False
        self._sockets: list[tuple[ListenSettings, socket.socket]] = []
        self.urls: list[str] = []
        self.kernel = Kernel(debug=settings.server.debug)
        if settings.log.access:
            self.kernel.observers = (AccessLog(settings.log.access, pretty=settings.log.format == "pretty"),)
        self.incidents = Incidents()
        self.certificates = Certificates(self._changing)
        self.plugins = Plugins(
            self.kernel.registry, settings.server.plugins, settings.plugin, self._run_coroutine, self._changing
        )
        try:
            core = core or load_core(settings.server.core)
            listeners = self._listen(settings.listen)  # first: what plugins print must not get into standard output
            self.plugins.load()
            self.core = core(listeners, settings.core_limits)
            self.core.tally = Tally(self.kernel.registry, self.incidents)
        except BaseException as error:
            self._release()
            if isinstance(error, LookupError):
                raise StartupError(str(error.args[0])) from error
            if isinstance(error, (PluginRefusedError, UnservableError)):
                raise StartupError(str(error)) from error
            raise

    def _run_coroutine(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.core.run_coroutine(coroutine)

    def _changing(self) -> AbstractContextManager[object]:
        return self.core.changing()

    @property
    def listening(self) -> list[tuple[ListenSettings, socket.socket]]:
        """The listeners, bound."""
        return list(self._sockets)

    def figures(self) -> Figures:
        """Return the connections and jobs of all processes of the server. Not to be called on the loop."""
        return self.core.figures()

    def totals(self) -> Totals:
        """Return what was counted so far, by all processes of the server. Not to be called on the loop."""
        assert self.core.tally is not None
        return self.core.tally.totals()

    def _listen(self, listeners: Sequence[ListenSettings]) -> list[Listener]:
        made: list[Listener] = []
        try:
            for settings in listeners:
                context = tls_context(settings)
                bound = bind(settings)
                self._sockets.append((settings, bound))
                self.urls.append(bound_url(settings, bound))
                made.append(self._listener(settings, bound, context))
                self.certificates.add(settings, made[-1])
        except StartupError:
            self._release()
            raise
        return made

    def _listener(self, settings: ListenSettings, bound: socket.socket, tls: ssl.SSLContext | None) -> Listener:
        files = (settings.certificate, settings.key or settings.certificate)
        if settings.address.protocol == "rpyc":
            return Listener(bound, self._rpyc_opener(), self.urls[-1], tls, None, files)
        site = self.site(settings.allowed_hosts if settings.address.local or settings.hosts else None)
        pipeline = site.limits.pipeline
        return Listener(
            bound,
            lambda peer: HttpConversation(peer, site, max_pipeline=pipeline),
            self.urls[-1],
            tls,
            site,
            files,
        )

    def _rpyc_opener(self) -> Callable[[Peer], Conversation]:
        bounds = self._settings.rpyc
        config = {"max_objects": bounds.objects, "include_local_traceback": self._settings.server.debug}
        call_time = self._settings.limits.call_time

        def open_conversation(peer: Peer) -> Conversation:
            return serve_root(
                peer,
                PluginRoot(self.kernel, peer, self._run_coroutine, call_time),
                config=config,
                incidents=self.incidents,
                run_coroutine=self._run_coroutine,
                concurrency=bounds.concurrency,
                max_frame=bounds.frame,
                max_queue=bounds.queue,
            )

        return open_conversation

    def site(self, hosts: Sequence[str] | None) -> HttpSite:
        """Return what answers requests.

        Args:
            hosts: Host names that requests may name; see `HttpSite`.
        """
        about = {"version": version("anycore"), "core": self._settings.server.core}
        pages: dict[str, Page] = {
            "/": StatusPage(self.kernel, self._rows),
            "/metrics": MetricsPage(self.kernel, Metrics(self.totals, self.figures, about)),
            "/livez": Health(),
            "/readyz": Health(lambda: "" if self._ready else "not ready"),
        }
        return HttpSite(
            self.kernel,
            limits=self._settings.limits,
            incidents=self.incidents,
            pages=pages,
            hosts=hosts,
        )

    def run(self, *, signals: bool = True) -> None:
        """Serve until stopped.

        Args:
            signals: Whether to stop on SIGTERM and SIGINT and to reload on SIGHUP; only the main thread can.

        Raises:
            StartupError: When a plugin cannot be started.
        """
        if signals:
            self._install_signals()
        parts = ExitStack()

        def startup() -> None:
            self.plugins.start([verify(System(self.kernel, self._run_coroutine), "anycore")])
            for part in parts_of(self, self._settings):
                part.start()
                parts.callback(part.stop)
            self._ready = True
            self._announce(self._introduction())

        def shutdown() -> None:
            self._ready = False
            parts.close()
            self.plugins.stop()
            _log.info("stopped")

        try:
            self.core.run(startup, shutdown)
        except PluginRefusedError as error:
            raise StartupError(str(error)) from error
        finally:
            self._release()

    def stop(self) -> None:
        """Stop accepting, finish what runs, and make `run` return. May be called from any thread."""
        self._ready = False
        self.core.stop()

    def _install_signals(self) -> None:
        def stop(number: int, _frame: object) -> None:
            if self._ready:
                _log.info("%s: finishing what runs", signal.Signals(number).name)
                self.stop()
            elif number == signal.SIGINT:
                _log.warning("interrupted again: calls under way are cut off")
                os._exit(130)
            else:
                self.core.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self.reload())

    def reload(self) -> None:
        """Load certificates, and every plugin that has a path, again, in a thread of its own; what cannot be loaded goes on as it is."""

        def load() -> None:
            self.certificates.reload()
            self.plugins.reload(everything=True)

        threading.Thread(target=load, name="anycore-reload", daemon=True).start()

    def _introduction(self) -> Announcement:
        first = self._settings.listen[0] if self._settings.listen else None
        certificate = first.certificate if first is not None and first.address.tls else ""
        return introduce(self.core.name, self.urls, list(self.kernel.registry.entries.values()), certificate)

    def _release(self) -> None:
        while self._sockets:
            release(*self._sockets.pop())

    def _rows(self) -> list[tuple[str, str]]:
        found = self.figures()
        rows = [
            ("core", self.core.name),
            ("connections", f"{found.connections} open, {found.accepted} so far"),
            ("requests in flight", str(found.in_flight)),
            ("refused at a limit", str(found.refused)),
            ("timed out", str(found.timed_out)),
        ]
        incidents = ", ".join(f"{kind} {count}" for kind, count in sorted(self.incidents.counts().items()))
        return [*rows, ("bad input", incidents or "none")]
