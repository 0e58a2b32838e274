"""A server that lives in another one: made from the settings, started and stopped with the process or its ASGI lifespan."""

from __future__ import annotations

import asyncio
import atexit
import logging
import multiprocessing
import multiprocessing.util
import os
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from anycore.cores.foreign.asgi import AsgiApplication
from anycore.cores.foreign.hosted import HostedCore
from anycore.cores.foreign.runner import LoopRunner, Runner, ThreadRunner
from anycore.cores.foreign.wsgi import WsgiApplication
from anycore.server.application import Server
from anycore.server.logs import configure
from anycore.server.pages import site_of
from anycore.settings.sources import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.conversations.site import HttpSite
    from anycore.cores.base import CoreLimits
    from anycore.kernel.call import Peer
    from anycore.settings.tables import Settings

_log = logging.getLogger("anycore.server")


class Hosted:
    """The life of a server inside of another one.

    Args:
        settings: Everything that can be set. Of listeners, only their `hosts` mean something here.
        runner: Makes what runs the jobs.
        name: What is told to people as the core's name.
    """

    def __init__(self, settings: Settings, runner: Callable[[CoreLimits], Runner], name: str) -> None:
        if not logging.getLogger().handlers:  # the other server has its own ideas, as a rule
            configure(settings.log)
        self._settings = settings
        self._runner = runner
        self._name = name
        self._lock = threading.Lock()
        self._make()

    def _make(self) -> None:
        """Load the plugins. What is wrong with them is told here, when the other server imports its application."""
        listen = self._settings.listen
        self._ended = threading.Event()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self.server = Server(
            msgspec.structs.replace(self._settings, listen=()),
            lambda _: self._ready.set(),
            lambda listeners, limits: HostedCore(listeners, limits, self._runner, self._name),
        )
        named = [listener.allowed_hosts for listener in listen if listener.address.protocol == "http"]
        anything = any(hosts is None for hosts in named)
        hosts = tuple(host for hosts in named for host in hosts or ())
        self._near = site_of(self.server, None if anything else hosts)
        self._far = site_of(self.server, None if anything or not hosts else hosts)

    @property
    def runner(self) -> Any:
        """What runs the jobs."""
        core = self.server.core
        assert isinstance(core, HostedCore)
        return core.runner

    def site_of(self, peer: Peer) -> HttpSite:
        """Return the site that answers a peer: to one on this machine, only by names that are known."""
        return self._near if peer.local else self._far

    def start(self) -> None:
        """Start, unless that has been done in this process; wait until all plugins have started.

        Raises:
            Exception: What kept it from starting.
        """
        if self._ready.is_set() and self._process == os.getpid():
            return
        with self._lock:
            if self._process != os.getpid():  # forked after the import: threads and sockets stayed with the parent
                self._make()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="anycore-server", daemon=True)
                self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        atexit.register(self.stop)
        if multiprocessing.parent_process() is not None:  # such a process ends without what is registered above
            multiprocessing.util.Finalize(None, self.stop, exitpriority=0)
        try:
            self.server.run(signals=False)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that started this one
            self._error = error
        finally:
            self._ready.set()
            self._ended.set()

    def stop(self) -> None:
        """Stop, unless that has been done, and wait until all plugins have stopped."""
        atexit.unregister(self.stop)
        if self._thread is not None and self._process == os.getpid():
            self.server.stop()
            self._ended.wait()


class _LoopLifespan:
    """Starts and stops with the loop of an ASGI server, without blocking it."""

    def __init__(self, hosted: Hosted) -> None:
        self._hosted = hosted
        self._starting: asyncio.Future[None] | None = None

    async def start(self) -> None:
        if self._starting is None:
            loop = asyncio.get_running_loop()
            self._hosted.runner.loop = loop
            self._starting = loop.run_in_executor(None, self._hosted.start)
        if not self._starting.done():
            await asyncio.shield(self._starting)
        self._starting.result()

    async def stop(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._hosted.stop)


def asgi_application(settings: Settings | None = None) -> AsgiApplication:
    """Return the ASGI application of a server.

    Args:
        settings: Everything that can be set; what the configuration file and the environment say when left out.

    Raises:
        ConfigurationError: The settings are wrong.
        StartupError: A plugin cannot be loaded.
    """
    hosted = Hosted(load_settings() if settings is None else settings, LoopRunner, "asgi")
    return AsgiApplication(hosted.runner, hosted.site_of, _LoopLifespan(hosted))


class HostedWsgi(WsgiApplication):
    """The WSGI application of a server.

    Args:
        hosted: The server.
    """

    def __init__(self, hosted: Hosted) -> None:
        super().__init__(hosted.runner, hosted.site_of, self.start)
        self._hosted = hosted

    def start(self) -> None:
        """Start the plugins, unless that has been done in this process. The first request does so otherwise."""
        self._hosted.start()
        self._runner = self._hosted.runner

    def stop(self) -> None:
        """Stop the plugins. The end of the process does so otherwise."""
        self._hosted.stop()


def wsgi_application(settings: Settings | None = None) -> HostedWsgi:
    """Return the WSGI application of a server.

    Args:
        settings: Everything that can be set; what the configuration file and the environment say when left out.

    Raises:
        ConfigurationError: The settings are wrong.
        StartupError: A plugin cannot be loaded.
    """
    return HostedWsgi(Hosted(load_settings() if settings is None else settings, ThreadRunner, "wsgi"))
