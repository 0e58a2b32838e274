"""What the cores that are others' servers have in common: they take listeners of HTTP only, and run jobs with a runner."""

from __future__ import annotations

import abc
import asyncio
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from anycore.cores.base import Core, CoreLimits, Figures, UnservableError
from anycore.cores.foreign.asgi import AsgiApplication
from anycore.cores.foreign.runner import LoopRunner, ThreadRunner
from anycore.cores.foreign.wsgi import WsgiApplication
from anycore.cores.loop_thread import end_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from anycore.cores.base import Listener
    from anycore.cores.foreign.runner import Runner

FOREIGN: Final = ("uvicorn", "granian", "gunicorn", "cheroot")
"""The names of the cores that are others' servers, which are those of their packages and of the extras that install them."""


class ForeignCore(Core):
    """A core whose server reads HTTP itself.

    Args:
        listeners: Where to listen; HTTP only.
        limits: Bounds; the defaults when left out.

    Raises:
        UnservableError: A listener speaks something else, or asks for what the server cannot give.
    """

    runner: Runner

    def __init__(self, listeners: Sequence[Listener], limits: CoreLimits | None = None) -> None:
        super().__init__(listeners, limits)
        for listener in self.listeners:
            self.check(listener)

    def check(self, listener: Listener) -> None:
        """Refuse a listener that this core cannot serve."""
        if listener.site is None:
            raise UnservableError(
                f"the core {self.name} speaks HTTP only, which {listener.url} is not; remove that listener, or choose the core"
                " asyncio, threaded, pool or forking"
            )

    @staticmethod
    def wants_certificates(listener: Listener) -> bool:
        """Tell whether callers on a listener are asked for certificates."""
        return listener.tls is not None and listener.tls.verify_mode != ssl.CERT_NONE

    def set_limits(self, limits: CoreLimits) -> None:
        """Keep other limits from now on where we keep them ourselves; see `Core.set_limits`. Those that the server keeps stay as they were."""
        super().set_limits(limits)
        self.runner.limits = limits

    def listen(self) -> None:
        """Put all sockets into the listening state."""
        for listener in self.listeners:
            bound = listener.socket
            if bound.family in (socket.AF_INET, socket.AF_INET6):
                bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
            bound.listen(self.limits.backlog)

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine where those of requests run; see `Core.run_coroutine`."""
        return self.runner.run_coroutine(coroutine, timeout)

    def connections(self) -> tuple[int, int]:
        """Return how many connections are open, and how many were accepted so far."""
        return 0, 0

    def figures(self) -> Figures:
        """Return what was counted so far, as far as the server tells."""
        counted = self.runner.counted
        connections, accepted = self.connections()
        return Figures(connections, counted.in_flight, accepted, counted.refused, counted.timed_out)


class LoopCore(ForeignCore):
    """A server that runs on an event loop in the thread that calls `run`.

    Args:
        listeners: Where to listen; HTTP only.
        limits: Bounds; the defaults when left out.
    """

    runner: LoopRunner

    def __init__(self, listeners: Sequence[Listener], limits: CoreLimits | None = None) -> None:
        super().__init__(listeners, limits)
        self.loop = _new_loop()
        self.runner = LoopRunner(self.limits)
        self.runner.loop = self.loop
        self.stopped = asyncio.Event()

    def application(self, listener: Listener) -> AsgiApplication:
        """Return the application for what comes in at a listener."""
        site = listener.site
        assert site is not None
        return AsgiApplication(self.runner, lambda _: site)

    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Serve until stopped; see `Core.run`."""
        runner = asyncio.Runner(loop_factory=lambda: self.loop)
        try:
            runner.run(
                self._main(startup, shutdown)
            )  # its close would wait for ever for tasks that take no cancellation
        finally:
            for listener in self.listeners:
                listener.socket.close()
            self.runner.close()
            try:
                self.loop.run_until_complete(end_loop())
            finally:
                self.loop.close()

    async def _main(self, startup: Callable[[], None], shutdown: Callable[[], None]) -> None:
        starter = ThreadPoolExecutor(1, thread_name_prefix="anycore-starter")
        try:
            self.listen()
            await self.loop.run_in_executor(starter, startup)
            try:
                if not self.stopped.is_set():
                    await self.serve()
            finally:
                await self.loop.run_in_executor(starter, shutdown)
        finally:
            starter.shutdown(wait=False)

    @abc.abstractmethod
    async def serve(self) -> None:
        """Serve until `stopped` is set, then until what runs has been answered."""

    def stop(self) -> None:
        """Stop gracefully; see `Core.stop`."""
        with suppress(RuntimeError):  # it has ended
            self.loop.call_soon_threadsafe(self.stopped.set)


class ThreadCore(ForeignCore):
    """A server that runs in threads.

    Args:
        listeners: Where to listen; HTTP only.
        limits: Bounds; the defaults when left out.
    """

    runner: ThreadRunner

    def __init__(self, listeners: Sequence[Listener], limits: CoreLimits | None = None) -> None:
        super().__init__(listeners, limits)
        self.runner = ThreadRunner(self.limits)
        self.stopped = threading.Event()

    def application(self, listener: Listener) -> WsgiApplication:
        """Return the application for what comes in at a listener."""
        site = listener.site
        assert site is not None
        return WsgiApplication(self.runner, lambda _: site)

    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Serve until stopped; see `Core.run`."""
        try:
            self.listen()
            startup()
            try:
                if not self.stopped.is_set():
                    self.serve()
            finally:
                shutdown()
        finally:
            for listener in self.listeners:
                listener.socket.close()
            self.runner.close()

    @abc.abstractmethod
    def serve(self) -> None:
        """Serve until `stopped` is set, then until what runs has been answered."""

    def stop(self) -> None:
        """Stop gracefully; see `Core.stop`."""
        self.stopped.set()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        module = import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    return cast("asyncio.AbstractEventLoop", module.new_event_loop())
