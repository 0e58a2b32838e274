"""The asyncio core: one event loop (uvloop where it is installed), worker threads for blocking methods."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

from anycore.conversations.base import Phase
from anycore.cores.base import AT_CONNECTIONS, AT_IN_FLIGHT, Core, Figures
from anycore.cores.workers import Workers
from anycore.kernel.call import Mode, Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from anycore.conversations.base import Conversation, Job
    from anycore.cores.base import CoreLimits, Listener


class _Connection(asyncio.Protocol):
    """One connection: feeds its conversation, runs quick jobs inline and passes the others on.

    Attributes:
        since: The core's tick at which the present phase began.
        sending: Whether the peer is slow to take what it is sent.
    """

    __slots__ = (
        "_core",
        "_ended",
        "_lingering",
        "_listener",
        "_reading",
        "conversation",
        "phase",
        "sending",
        "since",
        "transport",
    )

    conversation: Conversation
    transport: asyncio.Transport

    def __init__(self, core: AsyncioCore, listener: Listener) -> None:
        self._core = core
        self._listener = listener
        self._reading = True
        self._lingering = False
        self._ended = False
        self.sending = False
        self.since = core.tick
        self.phase = Phase.IDLE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        core = self._core
        self.transport = cast("asyncio.Transport", transport)
        tls = transport.get_extra_info("ssl_object")
        version, certificate = (tls.version(), tls.getpeercert(binary_form=True)) if tls is not None else ("", None)
        peer = Peer.of_address(transport.get_extra_info("peername"), version, certificate)
        self.conversation = self._listener.open(peer)
        core.connections.add(self)
        core.counted.accepted += 1
        if len(core.connections) > core.limits.connections:
            core.counted.refused += 1
            self.conversation.refuse(AT_CONNECTIONS)
            self.flush()
        elif core.stopping:
            self.stop()

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        jobs = self.conversation.feed(data)
        if jobs:
            self.since = self._core.tick
            self.run(jobs)
        self.flush()

    def run(self, jobs: Sequence[Job]) -> None:
        """Run jobs where their modes say; quick ones here and now."""
        core = self._core
        for job in jobs:
            if job.mode is Mode.QUICK:
                job.run()
            elif core.counted.in_flight >= core.limits.in_flight:
                core.counted.refused += 1
                job.refuse(AT_IN_FLIGHT)
            else:
                core.counted.in_flight += 1
                if job.mode is Mode.BLOCKING:
                    core.workers.submit((self, job))
                else:
                    core.spawn(self, job)
                continue
            more = self.conversation.finish(job)
            if more:
                self.run(more)

    def finished(self, job: Job) -> None:
        """Take back a job that a worker or a task has run."""
        self._core.counted.in_flight -= 1
        more = self.conversation.finish(job)
        if more:
            self.run(more)
        if not self._ended:
            self.since = self._core.tick
            self.flush()

    def flush(self) -> None:
        """Send what is ready and follow the conversation's phase."""
        data = self.conversation.take()
        if data:
            self.transport.write(data)
        phase = self.conversation.phase
        if phase is not self.phase or phase is Phase.IDLE:
            self.since = self._core.tick
            self.phase = phase
        if phase is Phase.CLOSING:
            self._close()
            return
        reading = self.conversation.wants_input and not self.sending
        if reading is not self._reading:
            self._reading = reading
            (self.transport.resume_reading if reading else self.transport.pause_reading)()

    def _close(self) -> None:
        """Send the last bytes, then wait for the peer to close, so that what it still sends does not reset the connection."""
        if self._lingering or self._ended:
            return
        self._lingering = True
        if self._core.stopping or not self._core.limits.linger_time or not self.transport.can_write_eof():
            self.transport.close()
            return
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()
        self.transport.write_eof()

    def eof_received(self) -> bool:
        if self._lingering:
            return False
        self.conversation.eof()
        if self.conversation.phase is Phase.WORKING and self.transport.can_write_eof():
            return True
        self._lingering = True
        data = self.conversation.take()
        if data:
            self.transport.write(data)
        return False

    def pause_writing(self) -> None:
        self.sending = True
        self.since = self._core.tick
        self.flush()

    def resume_writing(self) -> None:
        self.sending = False
        self.since = self._core.tick
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._ended = True
        self.conversation.eof()
        self._core.connections.discard(self)
        if self._core.stopping and not self._core.connections:
            self._core.quiet.set()

    def expire(self) -> None:
        """The present phase took too long."""
        if self._lingering or self.sending:
            self.transport.abort()
            return
        self._core.counted.timed_out += self.phase is not Phase.IDLE
        self.conversation.time_out()
        self.flush()
        if self.conversation.phase is Phase.WORKING:
            self.transport.abort()

    def limit(self) -> float:
        """Return the time limit of what the connection does now, in seconds."""
        return self._core.limits.send_time if self.sending else self._core.phase_limits[self.phase]

    def stop(self) -> None:
        """The server stops."""
        self.conversation.stop()
        self.flush()


class AsyncioCore(Core):
    """One event loop for all connections.

    Args:
        listeners: Where to listen.
        limits: Bounds; the defaults when left out.
        uvloop: Whether to use uvloop; None uses it where it is installed.
    """

    name = "asyncio"

    def __init__(
        self, listeners: Sequence[Listener], limits: CoreLimits | None = None, *, uvloop: bool | None = None
    ) -> None:
        super().__init__(listeners, limits)
        self.connections: set[_Connection] = set()
        self.counted = Figures()
        self.stopping = False
        self.tick = time.monotonic()
        self._loop = _new_loop(uvloop)
        self._stop = asyncio.Event()
        self.quiet = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.workers: Workers[tuple[_Connection, Job]] = Workers(self.limits.workers, _run_job, self._wake)

    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Serve until stopped; see `Core.run`."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._main(startup, shutdown))

    async def _main(self, startup: Callable[[], None], shutdown: Callable[[], None]) -> None:
        for listener in self.listeners:
            listener.socket.listen(self.limits.backlog)
        await asyncio.to_thread(startup)
        servers = [await self._listen(listener) for listener in self.listeners]
        sweeper = self._loop.create_task(self._sweep())
        try:
            await self._stop.wait()
        finally:
            await self._wind_down(servers)
            sweeper.cancel()
            self.workers.close()
            await asyncio.to_thread(shutdown)

    async def _listen(self, listener: Listener) -> asyncio.Server:
        return await self._loop.create_server(
            lambda: _Connection(self, listener),
            sock=listener.socket,
            backlog=self.limits.backlog,
            ssl=listener.tls,
            ssl_handshake_timeout=(self.limits.handshake_time or None) if listener.tls is not None else None,
        )

    async def _wind_down(self, servers: Sequence[asyncio.Server]) -> None:
        self.stopping = True
        for server in servers:
            server.close()
        for connection in tuple(self.connections):
            connection.stop()
        if self.connections:
            try:
                await asyncio.wait_for(self.quiet.wait(), self.limits.stop_time or None)
            except TimeoutError:
                for connection in tuple(self.connections):
                    connection.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _sweep(self) -> None:
        interval = self.limits.sweep_interval
        while True:
            await asyncio.sleep(interval)
            self.tick = now = time.monotonic()
            for connection in tuple(self.connections):
                limit = connection.limit()
                if limit and now - connection.since > limit:
                    connection.expire()

    def spawn(self, connection: _Connection, job: Job) -> None:
        """Run an asynchronous job as a task of its own."""
        task = self._loop.create_task(self._run_async(connection, job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_async(self, connection: _Connection, job: Job) -> None:
        try:
            await job.run_async()
        except asyncio.CancelledError:
            self.counted.in_flight -= 1
            raise
        connection.finished(job)

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._take_finished)

    def _take_finished(self) -> None:
        for connection, job in self.workers.take():
            connection.finished(job)

    def stop(self) -> None:
        """Stop gracefully; see `Core.stop`."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine on the loop and wait; see `Core.run_coroutine`."""
        return run_threadsafe(coroutine, self._loop, timeout)

    def figures(self) -> Figures:
        """Return what was counted so far."""
        counted = self.counted
        return Figures(len(self.connections), counted.in_flight, counted.accepted, counted.refused, counted.timed_out)


def run_threadsafe(coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop, timeout: float | None) -> Any:
    """Run a coroutine on a loop of another thread and wait; see `Core.run_coroutine`."""
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result(timeout)
    except TimeoutError:
        future.cancel()
        raise


def _run_job(item: tuple[_Connection, Job]) -> None:
    item[1].run()


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
