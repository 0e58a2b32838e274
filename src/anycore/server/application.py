"""A whole server, put together from its settings: kernel, plugins, listeners, core; and its life from start to stop."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from anycore.cores.base import UnservableError
from anycore.identity.forwarding import Forwarding
from anycore.kernel import debugging
from anycore.kernel.debugging import Debugging
from anycore.kernel.incidents import Incidents
from anycore.kernel.kernel import Kernel
from anycore.kernel.registry import PluginRefusedError, verify
from anycore.kernel.tally import Tally, Totals
from anycore.server.access import Access, prepare_access
from anycore.server.attributes import AttributeRules
from anycore.server.certificates import Certificates
from anycore.server.cores import core_of
from anycore.server.enrolment import enrolment_of
from anycore.server.errors import StartupError
from anycore.server.identity import identify_callers, prepare_identity
from anycore.server.introduction import introduce
from anycore.server.listening import Listening
from anycore.server.logs.access import AccessLog
from anycore.server.parts import parts_of
from anycore.server.process.inherited import Inherited
from anycore.server.process.signals import install
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
from anycore.server.storage import Storage
from anycore.services.debug import Debug

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Coroutine, Sequence
    from contextlib import AbstractContextManager

    from anycore.cores import Core, CoreLimits, Listener
    from anycore.cores.base import Figures
    from anycore.server.announcement import Announcement
    from anycore.server.process.inherited import Passed
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
        self._listening = Listening(self, inherited or Inherited())
        self.storage = Storage(settings)
        self.incidents = Incidents()
        self.kernel = Kernel(debug=settings.server.debug, incidents=self.incidents)
        self.access = Access(self.kernel, settings)
        self.forwarding = Forwarding()
        identify_callers(self)
        self.accounts = Accounts(settings, self.storage.open)
        self.access.use_groups(self.accounts.lookup)
        self.attributes = AttributeRules(self.kernel, self.access)
        if settings.log.access:
            self.kernel.observers = (AccessLog(settings.log.access, pretty=settings.log.format == "pretty"),)
        self.certificates = Certificates(self._changing)
        self.plugins = SharedPlugins(
            self.kernel.registry, settings.server.plugins, settings.plugin, self.run_coroutine, self._changing
        )
        self.plugins.equip = self.storage.equip
        try:
            core = core or core_of(settings)
            listeners = self._listening.open()  # first: what plugins print must not get into standard output
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

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the core's loop and wait; see `Core.run_coroutine`."""
        return self.core.run_coroutine(coroutine)

    def _changing(self) -> AbstractContextManager[object]:
        return self.core.changing()

    @property
    def listening(self) -> list[tuple[ListenSettings, socket.socket]]:
        """The listeners, bound."""
        return [(settings, passed.socket) for settings, passed in self._listening.sockets]

    @property
    def urls(self) -> list[str]:
        """Where it listens."""
        return self._listening.urls

    @property
    def passed(self) -> list[Passed]:
        """The sockets, for another server to take."""
        return [passed for _, passed in self._listening.sockets]

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

    def renew_listeners(self, contexts: Sequence[ssl.SSLContext | None]) -> None:
        """Have new connections served as the present settings say; see `Listening.renew`."""
        self._listening.renew(contexts)

    def release(self) -> None:
        """Close the sockets, where `run` has not done so."""
        self._listening.release()

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
        system = self.accounts.system(self.kernel, self.run_coroutine, self.totals)
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
        self._listening.hand_on()
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
        entries = list(self.kernel.registry.entries.values())
        return introduce(self.core.name, self.urls, entries, first, self.settings.server.plugins)
