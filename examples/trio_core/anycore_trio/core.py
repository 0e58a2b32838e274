"""The core: listeners, threads, the loop for coroutines, and the order of start and stop."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import trio

from anycore.conversations.base import Job
from anycore.cores.base import Core, CoreLimits, Figures, Listener, give_up, peer_of
from anycore.cores.loop_thread import CANCEL_SECONDS, LoopThread
from anycore.cores.workers import Workers
from anycore_trio.connection import Connection

_AT_LEAST = 1.0
"""How long, in seconds, a hand-shake may take that others wait for."""


class TrioCore(Core):
    """Serves on Trio.

    Args:
        listeners: Where to listen.
        limits: Bounds; the defaults when left out.

    Attributes:
        connections: Those that are served.
        leaving: Those that were refused, and are being told so.
        counted: What was counted.
        stopping: Whether no connection is accepted any more.
        tasks: The nursery of all that runs.
    """

    name = "trio"
    tasks: trio.Nursery

    def __init__(self, listeners: Sequence[Listener], limits: CoreLimits | None = None) -> None:
        super().__init__(listeners, limits)
        self.connections: set[Connection] = set()
        self.leaving: set[Connection] = set()
        self.counted = Figures()
        self.stopping = False
        self.quiet = trio.Event()
        self._handshakes: dict[trio.CancelScope, float] = {}
        self._loop = LoopThread()
        self._stop = trio.Event()
        self._told = False
        self._token: trio.lowlevel.TrioToken | None = None
        self._workers: Workers[tuple[Connection, Job]] = Workers(
            self.limits.workers, lambda item: item[1].run(), lambda item, error: give_up(item[1], error), self._wake
        )

    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Serve until stopped; see `Core.run`."""
        try:
            trio.run(self._main, startup, shutdown)
        finally:
            for listener in self.listeners:
                listener.socket.close()
            self._workers.close()
            self._loop.close()

    async def _main(self, startup: Callable[[], None], shutdown: Callable[[], None]) -> None:
        self._token = trio.lowlevel.current_trio_token()
        for listener in self.listeners:
            listener.socket.listen(self.limits.backlog)
        await self._in_thread(startup)
        try:
            if not self._told:
                await self._serve()
        finally:
            with trio.CancelScope(shield=True):
                await self._in_thread(shutdown)

    async def _serve(self) -> None:
        async with trio.open_nursery() as self.tasks:
            accepting = trio.CancelScope()
            self.tasks.start_soon(self._accept_all, accepting)
            await self._stop.wait()
            self.stopping = True
            accepting.cancel()
            for scope in self._handshakes:
                scope.cancel()
            for connection in (*self.connections, *self.leaving):
                connection.stop()
            self.look_quiet()
            with trio.move_on_after(self.limits.stop_time or float("inf")):
                await self.quiet.wait()
            for connection in (*self.connections, *self.leaving):
                connection.abort()
            with trio.move_on_after(CANCEL_SECONDS):
                await self.quiet.wait()
            self.tasks.cancel_scope.cancel()

    async def _accept_all(self, scope: trio.CancelScope) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                for listener in self.listeners:
                    nursery.start_soon(self._accept, listener)
        for listener in self.listeners:
            listener.socket.close()

    async def _accept(self, listener: Listener) -> None:
        bound = trio.socket.from_stdlib_socket(listener.socket)
        while True:
            try:
                connected, address = await bound.accept()
            except OSError:
                await trio.sleep(0.01)  # out of descriptors, most likely: let connections end before the next try
                continue
            if listener.tls is None:
                self.tasks.start_soon(self._welcome, listener, trio.SocketStream(connected), address)
            elif self.figures().connections >= self.limits.connections:
                self.counted.refused += 1
                connected.close()  # a hand-shake is work
            else:
                scope = self._count_handshake()  # now, as the task may begin only after the next connection is accepted
                self.tasks.start_soon(self._shake_hands, listener, trio.SocketStream(connected), address, scope)

    def _count_handshake(self) -> trio.CancelScope:
        scope = trio.CancelScope(deadline=trio.current_time() + (self.limits.handshake_time or float("inf")))
        self._handshakes[scope] = trio.current_time()
        if len(self._handshakes) > self.limits.handshakes:
            self._end_the_oldest()
        return scope

    async def _shake_hands(
        self, listener: Listener, plain: trio.SocketStream, address: Any, scope: trio.CancelScope
    ) -> None:
        assert listener.tls is not None
        stream = trio.SSLStream(plain, listener.tls, server_side=True, https_compatible=True)
        try:
            with scope:
                await stream.do_handshake()
        except (trio.BrokenResourceError, OSError):
            await trio.aclose_forcefully(stream)  # the peer spoke no TLS, none that we share, or has gone
            return
        finally:
            del self._handshakes[scope]
        if scope.cancelled_caught:
            self.counted.timed_out += not self.stopping
            await trio.aclose_forcefully(stream)
        else:
            await self._welcome(listener, stream, address)

    def _end_the_oldest(self) -> None:
        oldest, began = min(self._handshakes.items(), key=lambda item: item[1])
        oldest.deadline = min(oldest.deadline, began + _AT_LEAST)

    async def _welcome(self, listener: Listener, stream: trio.SocketStream | trio.SSLStream[Any], address: Any) -> None:
        if isinstance(stream, trio.SSLStream):
            inner: ssl.SSLObject = stream._ssl_object  # type: ignore[attr-defined]  # noqa: SLF001 - its attributes are all ours
            peer = peer_of(listener, address, inner.version() or "", inner.getpeercert(binary_form=True))
        else:
            peer = peer_of(listener, address, connected=stream.socket)
        connection = Connection(self, stream, listener.open(peer))
        self.counted.accepted += 1
        await connection.serve(refused=len(self.connections) >= self.limits.connections)
        self.look_quiet()

    def look_quiet(self) -> None:
        """Take note when the last connection has ended while the core stops."""
        if self.stopping and not self.connections and not self.leaving:
            self.quiet.set()

    def work(self, connection: Connection, job: Job) -> None:
        """Run a blocking job in a worker."""
        self._workers.submit((connection, job))

    def _wake(self) -> None:
        self.soon(self._take_finished)

    def soon(self, action: Callable[[], Any]) -> None:
        """Have something done in Trio's own thread; from any thread, and for nothing when it is all over."""
        with suppress(trio.RunFinishedError):
            if self._token is not None:
                self._token.run_sync_soon(action)

    def _take_finished(self) -> None:
        for connection, job in self._workers.take():
            connection.finished(job)

    async def await_job(self, connection: Connection, job: Job) -> None:
        """Run an asynchronous job on the loop."""
        over = trio.Event()
        future = self._loop.submit(job.run_async())
        future.add_done_callback(lambda _: self.soon(over.set))
        try:
            await over.wait()
        except trio.Cancelled:
            future.cancel()
            raise
        error = future.exception() if not future.cancelled() else RuntimeError("what the job waited for was cancelled")
        if error is not None:
            give_up(job, error)
        connection.finished(job)

    async def _in_thread(self, action: Callable[[], None]) -> None:
        """Do something that may block, and pass on what it raises. Trio's own threads would stay for ten seconds more."""
        over, errors = trio.Event(), list[BaseException]()

        def call() -> None:
            try:
                action()
            except BaseException as error:  # noqa: BLE001 - raised in Trio's thread
                errors.append(error)
            finally:
                self.soon(over.set)

        threading.Thread(target=call, name="anycore-starter", daemon=True).start()
        await over.wait()
        if errors:
            raise errors[0]

    def stop(self) -> None:
        """Stop gracefully; see `Core.stop`."""
        self._told = True
        self.soon(self._stop.set)

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine on the loop and wait; see `Core.run_coroutine`."""
        return self._loop.run(coroutine, timeout)

    def figures(self) -> Figures:
        """Return what was counted so far."""
        counted = self.counted
        connections = len(self.connections) + len(self.leaving) + len(self._handshakes)
        return Figures(connections, counted.in_flight, counted.accepted, counted.refused, counted.timed_out)
