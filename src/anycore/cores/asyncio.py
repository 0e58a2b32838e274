"""The asyncio core: one event loop (uvloop where it is installed), worker threads for blocking methods.

What happens on one connection lives in `asyncio_connection`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from anycore.cores.asyncio_connection import AsyncioConnection
from anycore.cores.asyncio_tls import TlsConnection
from anycore.cores.base import DRAIN_STEP, Core, Figures, give_up
from anycore.cores.greeting import greet_apart
from anycore.cores.handshakes import Handshakes
from anycore.cores.loop_poll import LoopPoll
from anycore.cores.loop_thread import CANCEL_SECONDS, cancel, end_loop, wait_for_coroutine
from anycore.cores.sharing import AT_ONCE, MOMENT
from anycore.cores.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from anycore.conversations.base import Job
    from anycore.cores.base import CoreLimits, Listener

_NEVER: Final = 1e6
"""Seconds, eleven days: for time limits of asyncio that cannot be switched off."""


class AsyncioCore(Core):
    """One event loop for all connections.

    Args:
        listeners: Where to listen.
        limits: Bounds; the defaults when left out.
        uvloop: Whether to use uvloop; None uses it where it is installed.

    Attributes:
        connections: Those that are served.
        leaving: Those that were refused, and are being told so.
        last_jobs: What is done, in workers, about connections that have ended.
        loop: The event loop.
        poll: Whether it goes round or sleeps.
    """

    name = "asyncio"

    def __init__(
        self, listeners: Sequence[Listener], limits: CoreLimits | None = None, *, uvloop: bool | None = None
    ) -> None:
        super().__init__(listeners, limits)
        self.connections: set[AsyncioConnection] = set()
        self.leaving: set[AsyncioConnection] = set()
        self.last_jobs: set[Job] = set()
        self.counted = Figures()
        self.stopping = False
        self.tick = time.monotonic()
        self.loop = _new_loop(uvloop)
        self.poll = LoopPoll(self.loop, self.limits.busy_poll_time)
        self._leave = asyncio.Event()
        self._stop = asyncio.Event()
        self._late: list[AsyncioConnection] = []
        self._quiet = asyncio.Event()
        self._jobs: set[asyncio.Task[None]] = set()
        self._arriving: set[asyncio.Task[None]] = set()
        self._handshakes: Handshakes[asyncio.Task[None]] = Handshakes(self.limits.handshakes, asyncio.Task.cancel)
        self.workers: Workers[tuple[AsyncioConnection, Job]] = Workers(
            self.limits.workers, lambda item: item[1].run(), lambda item, error: give_up(item[1], error), self._wake
        )

    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Serve until stopped; see `Core.run`."""
        runner = asyncio.Runner(loop_factory=lambda: self.loop)
        try:
            # Runner.close would wait for tasks that take no cancellation, and for plugins' own threads, for ever.
            runner.run(self._main(startup, shutdown))
        finally:
            self._close()

    async def _main(self, startup: Callable[[], None], shutdown: Callable[[], None]) -> None:
        starter = ThreadPoolExecutor(1, thread_name_prefix="anycore-starter")
        try:
            for listener in self.listeners:
                _prepare(listener, self.limits.backlog)
            await self.loop.run_in_executor(starter, startup)
            try:
                await self._serve()
            finally:
                await self.loop.run_in_executor(starter, shutdown)
        finally:
            starter.shutdown(wait=False)

    async def _serve(self) -> None:
        servers: list[asyncio.Server] = []
        sweeper = self.loop.create_task(self._sweep())
        try:
            for listener in self.listeners:
                if listener.greets or self.share is not None:
                    self.loop.add_reader(listener.socket, self._heed_listener, listener)
                else:
                    servers.append(await self._listen(listener))
            await self._leave.wait()
        finally:
            for listener in self.listeners:
                self.loop.remove_reader(listener.socket)
            await asyncio.sleep(
                0
            )  # asyncio's servers lose a connection, unclosed, that is between acceptance and transport
            for server in servers:
                server.close()
            if self._arriving:
                await asyncio.wait(self._arriving)
            for listener in self.listeners:
                listener.socket.close()
            if self.retiring:
                await self._drain()
            self.stopping = True
            await cancel({*self._handshakes})
            await self._wind_down()
            await cancel({sweeper, *self._jobs})
            self.workers.close()

    async def _listen(self, listener: Listener) -> asyncio.Server:
        unix = listener.socket.family == getattr(socket, "AF_UNIX", None)
        create: Callable[..., Any] = self.loop.create_unix_server if unix else self.loop.create_server
        # Whoever made the socket removes its file: other processes may go on listening.
        options = {"cleanup_socket": False} if unix and sys.version_info >= (3, 13) else {}
        server = await create(
            lambda: AsyncioConnection(self, listener), sock=listener.socket, backlog=self.limits.backlog, **options
        )
        return cast("asyncio.Server", server)

    def _heed_listener(self, listener: Listener) -> None:
        """Accept one connection and leave the next one to whichever process comes first. A server of asyncio would take all that wait.

        Nothing is awaited in between: a task that is cancelled when the core stops would lose what it has just accepted.
        """
        if self.share is not None and self.share.ahead(
            len(self.connections) + len(self._arriving) + len(self._handshakes)
        ):
            self.loop.remove_reader(listener.socket)
            self.loop.call_later(MOMENT, self._accept_after_others, listener)
        else:
            self._accept_one(listener)

    def _accept_one(self, listener: Listener) -> bool:
        try:
            raw, address = listener.socket.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another process has been quicker
            return False
        except OSError:  # out of descriptors, most likely: let connections end before the next try
            self.loop.remove_reader(listener.socket)
            self.loop.call_later(0.01, self._accept_after_others, listener)
            return False
        raw.setblocking(False)
        if listener.greets:
            self._begin_greeting(listener, raw, address)
        else:
            task = self.loop.create_task(self._welcome(listener, raw))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)
        return True

    def _accept_after_others(self, listener: Listener) -> None:
        if not self._leave.is_set():
            self.loop.add_reader(listener.socket, self._heed_listener, listener)
            for _ in range(AT_ONCE):
                if not self._accept_one(listener):
                    break

    async def _welcome(self, listener: Listener, raw: socket.socket) -> None:
        await self.loop.connect_accepted_socket(lambda: AsyncioConnection(self, listener), raw)

    def _begin_greeting(self, listener: Listener, raw: socket.socket, address: Any) -> None:
        """Begin a hand-shake, as a task that is counted, timed and ended like a connection."""
        full = len(self.connections) + len(self._handshakes) >= self.limits.connections
        if full or not self._handshakes.room():
            self.counted.refused += 1
            raw.close()
            return
        greeting = self._shake_hands if listener.tls is not None else self._greet
        task = self.loop.create_task(greeting(listener, raw, address))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.done)

    async def _greet(self, listener: Listener, raw: socket.socket, _: Any) -> None:
        seconds = self.limits.handshake_time
        try:
            async with asyncio.timeout(seconds or None):
                identity = await greet_apart(listener, raw, seconds)
            await self.loop.connect_accepted_socket(lambda: AsyncioConnection(self, listener, identity), raw)
        except TimeoutError:
            self.counted.timed_out += 1
            raw.close()
        except OSError:
            raw.close()
        except BaseException:
            raw.close()
            raise

    async def _shake_hands(self, listener: Listener, raw: socket.socket, address: Any) -> None:
        limits = self.limits
        try:
            async with asyncio.timeout(limits.handshake_time or None):
                await self.loop.connect_accepted_socket(
                    lambda: TlsConnection(self, listener),
                    raw,
                    ssl=listener.tls,
                    ssl_handshake_timeout=_NEVER,
                    ssl_shutdown_timeout=(limits.send_time or _NEVER) + limits.linger_time,
                )
        except TimeoutError:
            self.counted.timed_out += 1
        except OSError as error:
            self._handshakes.failed(address, error)  # there is no peer to tell

    async def _drain(self) -> None:
        """Go on with the connections there are."""
        for connection in self.connections:
            connection.retire()
        await asyncio.sleep(DRAIN_STEP)  # one that was accepted at the last moment is not among them yet
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.drain_time or None):
                while self.connections or self.leaving or self._handshakes or self.last_jobs:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), DRAIN_STEP)
                        break

    async def _wind_down(self) -> None:
        for connection in (*self.connections, *self.leaving):
            connection.stop()
        self.look_quiet()
        if await self._quiet_within(self.limits.stop_time or None):
            return
        for connection in (*self.connections, *self.leaving):
            connection.abort()
        await self._quiet_within(CANCEL_SECONDS)

    async def _quiet_within(self, seconds: float | None) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), seconds)
        return self._quiet.is_set()

    def ended(self) -> None:
        """Take note when a connection has ended."""
        if self.share is not None:
            self.share.tell(len(self.connections))
        self.look_quiet()

    def look_quiet(self) -> None:
        """Take note when the last connection has ended while the core stops."""
        if self.stopping and not self.connections and not self.leaving and not self.last_jobs:
            self._quiet.set()

    async def _sweep(self) -> None:
        interval = self.limits.sweep_interval
        while True:
            await asyncio.sleep(interval)
            self.tick = now = time.monotonic()
            self.poll.look_again()
            for connection in (*self.connections, *self.leaving):
                limit = connection.limit()
                if limit and now - connection.since > limit:
                    connection.expire()

    def write_late(self, connection: AsyncioConnection) -> None:
        """Let a connection write when all that has come in has been looked at.

        A write wakes the peer, which costs both sides a change of context. Where many peers wait, they are woken in one go: the first
        wakes the machine's other side, the next ones find it awake.
        """
        if not self._late:
            self.loop.call_soon(self._write_late)
        self._late.append(connection)

    def _write_late(self) -> None:
        late, self._late = self._late, []
        for connection in late:
            connection.write()

    def spawn(self, connection: AsyncioConnection, job: Job) -> None:
        """Run an asynchronous job as a task of its own."""
        task = self.loop.create_task(self._run_async(connection, job))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def _run_async(self, connection: AsyncioConnection, job: Job) -> None:
        try:
            await job.run_async()
        except asyncio.CancelledError as error:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                self.counted.in_flight -= 1
                raise
            give_up(job, error)  # something that the job waited for was cancelled, and not the job
        except Exception as error:  # noqa: BLE001 - no job may end the core
            give_up(job, error)
        try:
            connection.finished(job)
        except Exception:  # noqa: BLE001 - one connection's failure is not another's
            connection.failed()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop has been closed: the core did not wait for this job any longer
            self.loop.call_soon_threadsafe(self._take_finished)

    def _take_finished(self) -> None:
        for connection, job in self.workers.take():
            try:
                connection.finished(job)
            except Exception:  # noqa: BLE001 - one connection's failure is not another's
                connection.failed()

    def stop(self) -> None:
        """Stop gracefully; see `Core.stop`."""
        with suppress(RuntimeError):  # it has ended
            self.loop.call_soon_threadsafe(self._end_serving)

    def _end_serving(self) -> None:
        self._stop.set()
        self._leave.set()

    def retire(self) -> None:
        """Leave new connections to another server; see `Core.retire`."""
        self.retiring = True
        with suppress(RuntimeError):  # it has ended
            self.loop.call_soon_threadsafe(self._leave.set)

    def _close(self) -> None:
        for listener in self.listeners:
            listener.socket.close()
        if not self.loop.is_closed():
            try:
                self.loop.run_until_complete(end_loop())
            finally:
                self.loop.close()

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine on the loop and wait; see `Core.run_coroutine`."""
        return wait_for_coroutine(coroutine, self.loop, timeout)

    def ping(self, answer: Callable[[], None]) -> None:
        """Have the loop call something; see `Core.ping`."""
        with suppress(RuntimeError):  # it has ended
            self.loop.call_soon_threadsafe(answer)

    def figures(self) -> Figures:
        """Return what was counted so far."""
        counted = self.counted
        connections = len(self.connections) + len(self.leaving) + len(self._handshakes)
        return Figures(connections, counted.in_flight, counted.accepted, counted.refused, counted.timed_out)


def _prepare(listener: Listener, backlog: int) -> None:
    bound = listener.socket
    bound.setblocking(False)
    if bound.family in (socket.AF_INET, socket.AF_INET6):
        # Accepted sockets inherit it. asyncio's own loop sets it only on sockets that were made with the protocol's number.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.listen(backlog)


def _new_loop(uvloop: bool | None) -> asyncio.AbstractEventLoop:
    if uvloop is not False:
        try:
            import uvloop as module
        except ImportError:
            if uvloop:
                raise
        else:
            return cast("asyncio.AbstractEventLoop", module.new_event_loop())
    return asyncio.new_event_loop()
