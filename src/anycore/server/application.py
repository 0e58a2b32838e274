"""A whole server, put together from its settings: kernel, plugins, site, listeners, core; and its life from start to stop."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from anycore.console.health import Health
from anycore.console.metrics import Metrics, MetricsPage
from anycore.console.status import StatusPage
from anycore.conversations.http import HttpConversation
from anycore.conversations.site import HttpSite
from anycore.cores import Listener
from anycore.cores.base import UnservableError
from anycore.kernel import debugging
from anycore.kernel.debugging import Debugging
from anycore.kernel.incidents import Incidents
from anycore.kernel.kernel import Kernel
from anycore.kernel.registry import PluginRefusedError, verify
from anycore.kernel.tally import Tally, Totals
from anycore.kernel.version import own_version
from anycore.rpyc.listening import serve_root
from anycore.rpyc.root import PluginRoot
from anycore.server.access import Access, prepare_access
from anycore.server.attributes import AttributeRules
from anycore.server.certificates import Certificates
from anycore.server.cores import core_of
from anycore.server.enrolment import enrolment_of
from anycore.server.errors import StartupError
from anycore.server.greeting import greeter_of
from anycore.server.identity import identify_callers, prepare_identity, proxied_fields
from anycore.server.inherited import Inherited, Passed
from anycore.server.introduction import introduce
from anycore.server.listeners import bind, bound_url, release
from anycore.server.logs.access import AccessLog
from anycore.server.parts import parts_of
from anycore.server.reconfigure import TOPIC as RELOAD
from anycore.server.reconfigure import (
    Reloaded,
    prepare_core,
    prepare_debugging,
    prepare_listeners,
    reload,
    reload_here,
)
from anycore.server.reloading import Reloading
from anycore.server.sessions import Accounts
from anycore.server.shared_plugins import SharedPlugins
from anycore.server.signals import install
from anycore.server.storage import Storage
from anycore.server.tls import tls_context
from anycore.services.debug import Debug

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
        inherited: Sockets that somebody else has opened for the listeners.
        reread: Reads the settings again, for `reload`; without it, settings do not change.

    Attributes:
        settings: The settings that are in force.
        preparers: What settings are shown to before they come into force. Each raises `StartupError` if they are wrong, or returns what to
            do when they are right.
        on_reload: Called with False before settings are read again, and with True after.
        on_stop: Called when the server is told to stop, from whatever thread or signal handler that happens in.
    """

    def __init__(
        self,
        settings: Settings,
        announce: Callable[[Announcement], None] = lambda _: None,
        core: Callable[[Sequence[Listener], CoreLimits], Core] | None = None,
        inherited: Inherited | None = None,
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        self.settings = settings
        self.reread = reread or (lambda: settings)
        self.preparers = [prepare_access, prepare_identity, prepare_listeners, prepare_core, prepare_debugging]
        self.on_reload: Callable[[bool], None] = lambda _: None
        self.on_stop: Callable[[], None] = lambda: None
        self._announce = announce
        self._ready = False
        self._reloading = threading.Lock()
        self._inherited = inherited or Inherited()
        self._sockets: list[tuple[ListenSettings, Passed]] = []
        self.urls: list[str] = []
        self.storage = Storage(settings)
        self.incidents = Incidents()
        self.kernel = Kernel(debug=settings.server.debug, incidents=self.incidents)
        identify_callers(self)
        self.access = Access(self.kernel, settings)
        self.accounts = Accounts(settings, self.storage.open)
        self.access.use_groups(self.accounts.lookup)
        self.attributes = AttributeRules(self.kernel, self.access)
        if settings.log.access:
            self.kernel.observers = (AccessLog(settings.log.access, pretty=settings.log.format == "pretty"),)
        self.certificates = Certificates(self._changing)
        self.plugins = SharedPlugins(
            self.kernel.registry, settings.server.plugins, settings.plugin, self._run_coroutine, self._changing
        )
        self.plugins.equip = self.storage.equip
        try:
            core = core or core_of(settings)
            listeners = self._listen(settings.listen)  # first: what plugins print must not get into standard output
            self._enrolment = enrolment_of(settings.enrolment, self.storage.open)
            self.plugins.load()
            self.core = core(listeners, settings.core_limits)
            self.core.tally = Tally(self.kernel.registry, self.incidents)
            self.reloading = Reloading(self.core, self.plugins, self.certificates)
            self.debugging = Debugging(self.kernel, self.core.publish)
            self.core.on(debugging.TOPIC, self.debugging.apply)
            self.core.on(RELOAD, lambda _: reload_here(self).problems)
        except BaseException as error:
            self.release()
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
        return [(settings, passed.socket) for settings, passed in self._sockets]

    @property
    def passed(self) -> list[Passed]:
        """The sockets, for another server to take."""
        return [passed for _, passed in self._sockets]

    @property
    def ready(self) -> bool:
        """Whether it serves, and was neither told to stop nor replaced."""
        return self._ready

    @property
    def retiring(self) -> bool:
        """Whether another server has taken its place."""
        return self.core.retiring

    def figures(self) -> Figures:
        """Return the connections and jobs of all processes of the server. Not to be called on the loop."""
        return self.core.figures()

    def totals(self) -> Totals:
        """Return what was counted so far, by all processes of the server. Not to be called on the loop."""
        return self.core.totals()

    def _listen(self, listeners: Sequence[ListenSettings]) -> list[Listener]:
        made: list[Listener] = []
        try:
            for settings in listeners:
                context = tls_context(settings)
                passed = self._inherited.take(settings) or Passed(settings.url, bind(settings))
                bound = passed.socket
                self._sockets.append((settings, passed))
                self.urls.append(bound_url(settings, bound))
                made.append(self._listener(settings, bound, context))
                self.certificates.add(settings, made[-1])
            self._inherited.finish()
        except StartupError:
            self.release()
            raise
        return made

    def _listener(self, settings: ListenSettings, bound: socket.socket, tls: ssl.SSLContext | None) -> Listener:
        files = (settings.certificate, settings.key or settings.certificate)
        opener, site = self._opener(settings)
        greet = greeter_of(settings, self.incidents, self.kernel.authentication)
        return Listener(bound, opener, self.urls[-1], tls, site, files, greet)

    def _opener(self, settings: ListenSettings) -> tuple[Callable[[Peer], Conversation], HttpSite | None]:
        if settings.address.protocol == "rpyc":
            return self._rpyc_opener(), None
        site = self.site(settings.allowed_hosts if settings.address.local or settings.hosts else None)
        pipeline = site.limits.pipeline
        return lambda peer: HttpConversation(peer, site, max_pipeline=pipeline), site

    def renew_listeners(self, contexts: Sequence[ssl.SSLContext | None]) -> None:
        """Have new connections served as the present settings say.

        Args:
            contexts: The TLS context of each listener.
        """
        for settings, listener, context in zip(self.settings.listen, self.core.listeners, contexts, strict=True):
            listener.open, listener.site = self._opener(settings)
            listener.tls = context
            self.certificates.change(settings, listener)

    def _rpyc_opener(self) -> Callable[[Peer], Conversation]:
        bounds = self.settings.rpyc
        config = {"max_objects": bounds.objects, "include_local_traceback": self.settings.server.debug}
        call_time = self.settings.limits.call_time

        def open_conversation(peer: Peer) -> Conversation:
            root = PluginRoot(self.kernel, peer, self._run_coroutine, call_time)
            conversation = serve_root(
                peer,
                root,
                config=config,
                incidents=self.incidents,
                run_coroutine=self._run_coroutine,
                concurrency=bounds.concurrency,
                max_frame=bounds.frame,
                max_queue=bounds.queue,
            )
            self.attributes.apply(conversation.connection, root)
            return conversation

        return open_conversation

    def site(self, hosts: Sequence[str] | None) -> HttpSite:
        """Return what answers requests.

        Args:
            hosts: Host names that requests may name; see `HttpSite`.
        """
        about = {"version": own_version(), "core": self.settings.server.core}
        pages: dict[str, Page] = {
            "/": StatusPage(self.kernel, self._rows, self.totals),
            "/metrics": MetricsPage(self.kernel, Metrics(self.totals, self.figures, about, self.certificates.gauges)),
            "/livez": Health(),
            "/readyz": Health(lambda: "" if self._ready else "not ready"),
        }
        return HttpSite(
            self.kernel,
            limits=self.settings.limits,
            incidents=self.incidents,
            pages=pages,
            hosts=hosts,
            proxied=proxied_fields(self.settings),
        )

    def run(self, *, signals: bool = True) -> None:
        """Serve until stopped.

        Args:
            signals: Whether to stop on SIGTERM and SIGINT and to reload on SIGHUP; only the main thread can.

        Raises:
            StartupError: When a plugin cannot be started.
        """
        if signals:
            install(self, self.reload)
        parts = ExitStack()
        system = self.accounts.system(self.kernel, self._run_coroutine, self.totals)
        plugins = (system, self.accounts.group(), Debug(self.debugging), *self._enrolment)
        bundled = [verify(plugin, "anycore") for plugin in plugins]

        def startup() -> None:
            self.plugins.start(bundled)
            for part in parts_of(self, self.settings):
                part.start()
                parts.callback(part.stop)
            if self.core.several:
                self._ready = True
            else:
                ready()

        def ready() -> None:
            self._ready = True
            self._announce(self._introduction())

        def shutdown() -> None:
            self._ready = False
            parts.close()
            self.plugins.stop()
            self.storage.close()

        try:
            if self.core.several:
                self.plugins.enlist(bundled)
                self.core.ready = ready
            self.core.run(startup, shutdown)
            _log.info("stopped")
        except PluginRefusedError as error:
            raise StartupError(str(error)) from error
        finally:
            self.release()

    def stop(self) -> None:
        """Stop accepting, finish what runs, and make `run` return. May be called from any thread."""
        self._ready = False
        self.on_stop()
        self.core.stop()

    def retire(self) -> None:
        """Leave new callers to another server, which has the sockets, finish what runs, and make `run` return. May be called from any thread."""
        self._ready = False
        for passed in self.passed:
            passed.keeps_file = True
        self.core.retire()

    def reload(self) -> None:
        """Do as `reload_now` does, in a thread of its own."""
        threading.Thread(target=self.reload_now, name="anycore-reload", daemon=True).start()

    def reload_now(self) -> Reloaded:
        """Read the settings again, and load certificates and every plugin that has a path. What cannot be loaded goes on as it is."""
        with self._reloading:
            self.on_reload(False)
            try:
                return reload(self)
            finally:
                self.on_reload(True)

    def _introduction(self) -> Announcement:
        first = self.settings.listen[0] if self.settings.listen else None
        certificate = first.certificate if first is not None and first.address.tls else ""
        return introduce(self.core.name, self.urls, list(self.kernel.registry.entries.values()), certificate)

    def release(self) -> None:
        """Close the sockets, where `run` has not done so."""
        while self._sockets:
            settings, passed = self._sockets.pop()
            release(settings, passed.socket, keep_file=passed.keeps_file)

    def _rows(self) -> list[tuple[str, str]]:
        found = self.figures()
        rows = [
            ("core", self.core.name),
            ("connections", f"{found.connections} open, {found.accepted} so far"),
            ("requests in flight", str(found.in_flight)),
            ("refused at a limit", str(found.refused)),
            ("timed out", str(found.timed_out)),
        ]
        incidents = ", ".join(f"{kind} {count}" for kind, count in sorted(self.totals().incidents.items()))
        return [*rows, ("bad input", incidents or "none")]
