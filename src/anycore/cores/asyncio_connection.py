"""One connection of the asyncio core: feeds its conversation and follows its phases. The core itself lives in `asyncio`."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from anycore.conversations.base import Phase
from anycore.cores.base import AT_CONNECTIONS, AT_IN_FLIGHT, BUNDLE, give_up, peer_of
from anycore.cores.greeting import known
from anycore.cores.loan import LOAN_STEP, Loan
from anycore.cores.loop_link import LoopLink
from anycore.cores.quickack import acknowledge
from anycore.kernel.call import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.conversations.base import Conversation, Job
    from anycore.conversations.rpyc import RpycConversation
    from anycore.cores.asyncio import AsyncioCore
    from anycore.cores.base import Listener
    from anycore.kernel.call import Identity

_log = logging.getLogger("anycore.core")

_MAX_LEAVING: Final = 256
"""Connections over the limit that are told so at a time; more are closed without a word."""
_MAX_OUT: Final = 64
"""Jobs of one connection that may be out at a time, quick ones aside; others wait for their turn."""
PIECE: Final = 1 << 16
"""Bytes of which more is handed to the transport by itself."""


class AsyncioConnection(asyncio.Protocol):
    """One connection: feeds its conversation, runs quick jobs inline and passes the others on.

    Attributes:
        since: The core's tick at which the present phase began.
        sending: Whether the peer is slow to take what it is sent.
        ended: Whether the connection is over.
    """

    __slots__ = (
        "_at_end",
        "_core",
        "_home",
        "_identity",
        "_joins",
        "_late",
        "_later",
        "_lingering",
        "_listener",
        "_loan",
        "_out",
        "_reading",
        "_write",
        "conversation",
        "ended",
        "phase",
        "sending",
        "since",
        "transport",
    )

    _lends = os.name == "posix"
    conversation: Conversation
    transport: asyncio.Transport
    _later: deque[Job] | None
    _write: Callable[[bytes], None]

    def __init__(self, core: AsyncioCore, listener: Listener, identity: Identity | None = None) -> None:
        self._core = core
        self._identity = identity
        self._listener = listener
        self._home = core.connections
        self._joins = True
        self._late = b""
        self._later = None
        self._loan: Loan | None = None
        self._out = 0
        self._reading = True
        self._lingering = False
        self._at_end = False
        self.ended = False
        self.sending = False
        self.since = core.tick
        self.phase = Phase.IDLE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is ready, its hand-shake done; see `asyncio.BaseProtocol`."""
        core = self._core
        self.transport = cast("asyncio.Transport", transport)
        self._set_write()
        tls = transport.get_extra_info("ssl_object")
        version, certificate = (tls.version(), tls.getpeercert(binary_form=True)) if tls is not None else ("", None)
        connected = transport.get_extra_info("socket")
        peer = peer_of(self._listener, transport.get_extra_info("peername"), version, certificate, connected)
        peer = known(peer, self._identity)
        self.conversation = self._listener.open(peer)
        core.counted.accepted += 1
        if len(core.connections) >= core.limits.connections:
            self._refuse()
            return
        core.connections.add(self)
        if self.conversation.interactive:
            self._begin()
        if core.stopping:
            self.stop()
        elif core.retiring:
            self.retire()

    def _begin(self) -> None:
        conversation = cast("RpycConversation", self.conversation)
        self.run(conversation.begin(LoopLink(self, conversation, self._core.loop)))
        self.flush()

    def _set_write(self) -> None:
        self._write = self.transport.write

    def _refuse(self) -> None:
        core = self._core
        core.counted.refused += 1
        self._home = core.leaving
        core.leaving.add(self)
        if len(core.leaving) > _MAX_LEAVING:
            self.abort()
        else:
            self.conversation.refuse(AT_CONNECTIONS)
            self.flush()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the peer; see `asyncio.Protocol`."""
        if self._lingering:
            return
        if self._core.poll.on:
            self._core.poll.heard(self)
        jobs = self.conversation.feed(data)
        if jobs:
            self.since = self._core.tick
            if len(jobs) <= BUNDLE and not self._later:
                self.run(jobs)
            else:
                self._later = deque((*(self._later or ()), *jobs))
                self._run_later()
        elif self.conversation.interactive:
            acknowledge(self.transport.get_extra_info("socket"))
        self.flush()
        if self.phase is Phase.IDLE and self._core.poll.on:
            self._core.poll.answered(self)

    def _run_later(self) -> None:
        """Run jobs of which the peer has sent many, a few at a time, for as long as it takes the answers."""
        later = self._later
        while later and not self.sending and self._out < _MAX_OUT:
            self.run([later.popleft() for _ in range(min(BUNDLE, len(later)))])
            self.flush()

    def run(self, jobs: Sequence[Job]) -> None:
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
                    core.workers.submit((self, self._lend(job) if core.poll.due(self) else job))
                else:
                    core.spawn(self, job)
                continue
            more = self.conversation.finish(job)
            if more:
                self.run(more)

    def run_last(self, job: Job) -> None:
        """Run what is to be done after the end, in a worker. No limit refuses it, and the core does not stop before it is done."""
        core = self._core
        core.counted.in_flight += 1
        core.last_jobs.add(job)
        self._out += 1
        core.workers.submit((self, job))

    def finished(self, job: Job) -> None:
        """Take back a job that a worker or a task has run."""
        self._core.counted.in_flight -= 1
        self._out -= 1
        if self._core.last_jobs:
            self._core.last_jobs.discard(job)
            self._core.look_quiet()
        more = self._returned(job) if type(job) is Loan else self.conversation.finish(job)
        if more:
            self.run(more)
        if self._later:
            self._run_later()
        if not self.ended:
            self.since = self._core.tick
            self.flush()
            if self.phase is Phase.IDLE and self._core.poll.on:
                self._core.poll.answered(self)

    # Lending it to a worker; see `loan`.

    def _lend(self, job: Job) -> Job:
        """Return what a worker is to run: the job, or a loan that begins with it."""
        if not self._may_lend():
            return job
        core, descriptor = self._core, self.transport.get_extra_info("socket").fileno()
        try:
            loan = Loan(job, self.conversation, descriptor, core.limits.busy_poll_time, self._wanted)
        except OSError:  # out of descriptors
            return job
        self._loan = loan
        self.transport.pause_reading()
        core.loop.call_later(LOAN_STEP, self._look_after, loan, 0)
        return loan

    def _may_lend(self) -> bool:
        """Whether this job is all there is to do, nothing waits to be sent, and no limit is near: in between its jobs a loan counts as one."""
        core = self._core
        if self._out > 1 or self._later or not self._lends or self._at_end:
            return False
        if core.stopping or core.retiring or core.workers.waiting or core.counted.in_flight * 2 > core.limits.in_flight:
            return False
        self.flush()
        if self.phase is not Phase.WORKING or not self._reading or self.sending or self._late:
            return False
        return not (self.transport.get_write_buffer_size() or self.transport.is_closing())

    def _wanted(self) -> bool:
        return bool(self._core.workers.waiting) or not self._core.poll.last(self)

    def _look_after(self, loan: Loan, jobs: int) -> None:
        if self._loan is not loan:
            return
        self.since = self._core.tick
        if loan.jobs == jobs:
            if self.recall():
                self.flush()
        else:
            self._core.loop.call_later(LOAN_STEP, self._look_after, loan, loan.jobs)

    def recall(self) -> bool:
        """Have the connection back from a worker; return whether it is here now. If it is not, it comes by itself, as the job of the worker does."""
        if self._loan is None:
            return True
        if not self._loan.recall():
            return False
        self._have_back()
        return True

    def _have_back(self) -> None:
        self._loan = None
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _returned(self, loan: Loan) -> Sequence[Job]:
        """Go on where a worker has left off."""
        core, conversation = self._core, self.conversation
        core.poll.lent(self, loan.jobs - 1)
        if self._loan is loan:
            self._have_back()
        if self.ended:
            self.transport.abort()
        elif loan.error is not None:
            raise loan.error
        elif core.stopping:
            conversation.stop()
        elif core.retiring:
            conversation.retire()
        self.write(loan.unsent)
        if conversation.interactive and conversation.phase is Phase.RECEIVING:
            acknowledge(self.transport.get_extra_info("socket"))
        return loan.left if loan.undone is None else conversation.finish(loan.undone)

    def write(self, data: bytes = b"") -> None:
        """Send what was put off, and data."""
        if self._late:
            data, self._late = self._late + data, b""
        if data and not self.ended:
            self._write(data)

    def flush(self) -> None:
        """Send what is ready and follow the conversation's phase, unless a worker does."""
        if self._loan is not None:
            return
        data = self.conversation.take()
        phase = self.conversation.phase
        if data:
            if phase is Phase.IDLE and self._joins and len(self._late) + len(data) <= PIECE:
                self._late += data
                self._core.write_late(self)
            else:
                self.write(data)
        if phase is not self.phase or phase is Phase.IDLE:
            self.since = self._core.tick
            self.phase = phase
        if phase is Phase.CLOSING:
            self._close()
            return
        if phase is Phase.IDLE and self._reading and not self.sending:
            return
        reading = self.conversation.wants_input and not self.sending
        if reading is not self._reading:
            self._reading = reading
            (self.transport.resume_reading if reading else self.transport.pause_reading)()

    def _close(self) -> None:
        """Send the last bytes, then wait for the peer to close, so that what it still sends does not reset the connection."""
        if self._lingering or self.ended:
            return
        self.write()
        self._lingering = True
        core, transport = self._core, self.transport
        if self._at_end or core.stopping or not core.limits.linger_time or not transport.can_write_eof():
            transport.close()
            return
        if not self._reading:
            self._reading = True
            transport.resume_reading()
        try:
            transport.write_eof()
        except OSError:  # the peer has reset the connection
            self.abort()

    def abort(self) -> None:
        """End the connection here and now, or when the worker that it is lent to has brought it back."""
        self.ended = True
        if self.recall():
            self.transport.abort()

    def failed(self) -> None:
        """The conversation has raised, which it must not: log it, and end the connection."""
        _log.exception(
            "the conversation with %s failed; its connection is ended", self.transport.get_extra_info("peername")
        )
        self.abort()

    def eof_received(self) -> bool:
        """The peer will send no more; see `asyncio.Protocol`."""
        if self._at_end:  # reading went on because there was room to write again
            return True
        if self._lingering:
            return False
        self._at_end = True
        self.conversation.eof()
        if self.conversation.phase is Phase.WORKING and self.transport.can_write_eof():
            return True
        self.flush()
        self.write()
        self._lingering = True
        return False

    def pause_writing(self) -> None:
        """The peer does not take what it is sent; see `asyncio.BaseProtocol`."""
        self.sending = True
        self.since = self._core.tick
        self.flush()

    def resume_writing(self) -> None:
        """The peer has taken most of what it was sent; see `asyncio.BaseProtocol`."""
        self.sending = False
        self.since = self._core.tick
        self.flush()
        if self._later:
            self._run_later()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection has ended; see `asyncio.BaseProtocol`."""
        self.ended = True
        self._later = None
        self.conversation.eof()
        self._core.poll.ended(self)
        self._home.discard(self)
        self._core.ended()

    def expire(self) -> None:
        """The present phase took too long."""
        if self._loan is not None:
            self.recall()
            return
        if self.sending or self.phase in (Phase.RECEIVING, Phase.WORKING):
            self._core.counted.timed_out += 1
        if self._lingering or self.sending:
            self.abort()
            return
        self.conversation.time_out()
        self.flush()
        if self.conversation.phase is not Phase.CLOSING:
            self.abort()

    def limit(self) -> float:
        """Return the time limit of what the connection does now, in seconds."""
        if self.sending:
            return self._core.limits.send_time
        if self.phase is Phase.IDLE and self.conversation.interactive:
            return cast("RpycConversation", self.conversation).idle_time
        return self._core.phase_limits[self.phase]

    def retire(self) -> None:
        """The server makes room for another."""
        if self.recall():
            self.conversation.retire()

    def stop(self) -> None:
        """The server stops."""
        if not self.recall():
            return
        if self._lingering:
            self.transport.close()
            return
        self.conversation.stop()
        self.flush()
