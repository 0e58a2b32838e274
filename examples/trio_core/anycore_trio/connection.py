"""One connection: a task that reads and feeds the conversation, and one that sends and follows its phases."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import trio

from anycore.conversations.base import Conversation, Job, Phase
from anycore.cores.base import AT_CONNECTIONS, AT_IN_FLIGHT, BUNDLE, give_up
from anycore.kernel.call import Mode

if TYPE_CHECKING:
    from anycore_trio.core import TrioCore

_log = logging.getLogger("anycore.core")

_MAX_LEAVING = 256
_MAX_OUT = 64
_PIECE = 65536
_NO_RPYC = "the core trio speaks no RPyC; choose another one"


class Connection:
    """Moves bytes between a stream and a conversation.

    Args:
        core: The core.
        stream: Plain, or TLS whose hand-shake is done.
        conversation: The conversation.
    """

    def __init__(
        self, core: TrioCore, stream: trio.SocketStream | trio.SSLStream[Any], conversation: Conversation
    ) -> None:
        self._core = core
        self._stream = stream
        self._conversation = conversation
        self._scope = trio.CancelScope()
        self._lingering = trio.CancelScope()
        self._changed = trio.Event()
        self._phase = Phase.IDLE
        self._since = trio.current_time()
        self._out = 0
        self._at_end = False
        self._sending = False

    async def serve(self, *, refused: bool) -> None:
        """Serve until the end; a refused peer is only told so."""
        core = self._core
        home = core.leaving if refused else core.connections
        home.add(self)
        if refused:
            core.counted.refused += 1
            self._conversation.refuse(AT_CONNECTIONS)
        elif self._conversation.interactive:
            _log.warning("a peer is refused: %s", _NO_RPYC)
            self._conversation.refuse(_NO_RPYC)
        elif core.stopping:
            self._conversation.stop()
        try:
            if len(core.leaving) <= _MAX_LEAVING:
                with self._scope:
                    await self._converse()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass  # the peer has gone: there is nobody to tell
        except Exception:  # noqa: BLE001 - one connection's failure is not another's
            _log.exception("the conversation with a peer failed; its connection is ended")
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._stream)
            self._conversation.eof()
            home.discard(self)

    async def _converse(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read)
            await self._write()
            nursery.cancel_scope.cancel()
        await self._linger()

    async def _read(self) -> None:
        conversation = self._conversation
        while conversation.phase is not Phase.CLOSING:
            if not conversation.wants_input:
                await self._changed.wait()
                continue
            data = await self._stream.receive_some(_PIECE)
            if not data:
                self._at_end = True
                conversation.eof()
                self._wake()
                return
            jobs = deque(conversation.feed(bytes(data)))
            if jobs:
                self._since = trio.current_time()
            self._wake()
            while jobs:  # a few at a time, as long as the peer takes the answers
                self._run([jobs.popleft() for _ in range(min(BUNDLE, len(jobs)))])
                self._wake()
                await trio.lowlevel.checkpoint()
                while self._sending or self._out >= _MAX_OUT:
                    await self._changed.wait()

    async def _write(self) -> None:
        """Send what is ready and keep the time limits, until all is said."""
        conversation = self._conversation
        while True:
            data = conversation.take()
            phase = conversation.phase
            if phase is not self._phase or data:
                self._phase, self._since = phase, trio.current_time()
            if data:
                if not await self._send(data):
                    return
            elif phase is Phase.CLOSING or (self._at_end and phase is not Phase.WORKING):
                return
            elif not await self._change(phase):
                self._expire(phase)
                data = conversation.take()
                if data and not await self._send(data):
                    return
                if conversation.phase is not Phase.CLOSING:
                    self.abort()

    async def _send(self, data: bytes) -> bool:
        self._sending = True
        with trio.move_on_after(self._core.limits.send_time or float("inf")) as scope:
            await self._stream.send_all(data)
        self._sending = False
        self._wake()
        if scope.cancelled_caught:
            self._core.counted.timed_out += 1
            self.abort()
        return not scope.cancelled_caught

    async def _change(self, phase: Phase) -> bool:
        """Wait until something has changed; False when the phase took too long."""
        limit = self._core.phase_limits[phase]
        with trio.move_on_at(self._since + limit if limit else float("inf")):
            await self._changed.wait()
            return True
        return False

    def _expire(self, phase: Phase) -> None:
        if phase in (Phase.RECEIVING, Phase.WORKING):
            self._core.counted.timed_out += 1
        self._conversation.time_out()

    async def _linger(self) -> None:
        """Wait for the peer to close, so that what it still sends does not reset the connection."""
        limit = self._core.limits.linger_time
        if self._at_end or self._core.stopping or not limit:
            await self._stream.aclose()
            return
        if isinstance(self._stream, trio.SocketStream):
            await self._stream.send_eof()
        with self._lingering, trio.move_on_after(limit):
            while isinstance(self._stream, trio.SocketStream) and await self._stream.receive_some(_PIECE):
                pass
        await self._stream.aclose()

    def _run(self, jobs: Sequence[Job]) -> None:
        """Run jobs where their modes say; quick ones here and now."""
        core = self._core
        for job in jobs:
            if job.mode is Mode.QUICK:
                try:
                    job.run()
                except Exception as error:  # noqa: BLE001 - no job may end the core
                    give_up(job, error)
            elif core.counted.in_flight >= core.limits.in_flight:
                core.counted.refused += 1
                job.refuse(AT_IN_FLIGHT)
            else:
                core.counted.in_flight += 1
                self._out += 1
                if job.mode is Mode.BLOCKING:
                    core.work(self, job)
                else:
                    core.tasks.start_soon(core.await_job, self, job)
                continue
            self._run(self._conversation.finish(job))

    def finished(self, job: Job) -> None:
        """Take back a job that was run elsewhere."""
        self._core.counted.in_flight -= 1
        self._out -= 1
        self._run(self._conversation.finish(job))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def stop(self) -> None:
        """The server stops."""
        self._conversation.stop()
        self._lingering.cancel()
        self._wake()

    def abort(self) -> None:
        """End the connection here and now."""
        self._scope.cancel()
