"""One connection of the threaded core, and the thread that serves it. The core itself lives in `threaded`."""

from __future__ import annotations

import logging
import socket
import ssl
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from anycore.conversations.base import Phase
from anycore.cores.base import AT_IN_FLIGHT, BUNDLE, give_up, peer_on
from anycore.cores.busy_poll import BusyPoll
from anycore.cores.greeting import greet, known
from anycore.cores.pump import Pump
from anycore.kernel.call import Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.conversations.base import Conversation, Job
    from anycore.conversations.rpyc import RpycConversation
    from anycore.cores.base import Listener
    from anycore.cores.forking import ForkingCore
    from anycore.cores.threaded import ThreadedCore
    from anycore.kernel.call import Identity

_log = logging.getLogger("anycore.core")

_CHUNK: Final = 65536
_DONTWAIT: Final = getattr(socket, "MSG_DONTWAIT", 0)
_NEVER: Final = 1e6
"""Seconds, eleven days."""
_INTERRUPTIBLE: Final = (Phase.IDLE, Phase.RECEIVING)
"""Phases in which the thread waits for the peer to speak: ending the reading side tells it to look up."""


class ThreadedConnection:
    """One connection and the thread that serves it. Only `expire`, `stop` and `abort` are called from other threads.

    Attributes:
        waits: What the thread waits for, as `(since, limit, phase)`: the core's tick at which it began, and its time limit in
            seconds, 0 for none. It is replaced as a whole, so that the sweeper never sees the one with the other's limit. Sending and
            hand-shakes count as `WORKING`, waiting for the peer to close as `CLOSING`.
    """

    def __init__(self, core: ThreadedCore | ForkingCore, listener: Listener, raw: socket.socket, address: Any) -> None:
        self._core = core
        self._listener = listener
        self._socket = raw
        self._address = address
        self._expired = False
        self._lingering = False
        self._pump: Pump | None = None
        self.waits = (core.tick, core.limits.handshake_time, Phase.WORKING)
        self.conversation: Conversation | None = None
        self._identity: Identity | None = None
        self._busy_poll: BusyPoll | None = None

    def serve(self) -> None:
        """The thread's whole life."""
        try:
            if self._socket.family != getattr(socket, "AF_UNIX", None):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._listener.tls is not None:
                self._shake_hands(self._listener.tls)
            elif self._listener.greet is not None:
                self._identity = greet(self._listener, self._socket, self._core.limits.handshake_time)
                self._core.greeted(self)
            self._talk()
        except (OSError, CancelledError):
            pass  # the peer has gone, or was sent away by the sweeper, or the core ends: nobody is left to tell
        except Exception:  # noqa: BLE001 - one connection's failure is not another's
            _log.exception("the conversation with %s failed; its connection is ended", self._address)
        finally:
            if self.conversation is not None:
                self.conversation.eof()
            self._socket.close()
            if self._busy_poll is not None:
                self._busy_poll.end()
            self._core.ended(self)

    def _shake_hands(self, context: ssl.SSLContext) -> None:
        self._socket = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
        try:
            self._socket.do_handshake()
        except ssl.SSLError as error:
            self._core.handshakes.failed(self._address, error)
            raise
        self._core.greeted(self)

    def _talk(self) -> None:
        peer = known(peer_on(self._listener, self._socket, self._address), self._identity)
        conversation = self.conversation = self._listener.open(peer)
        if conversation.interactive:
            self._serve_interactive(cast("RpycConversation", conversation))
            return
        core, limits = self._core, self._core.phase_limits
        receive, look = (
            (self._receive, self._look) if self._listener.tls is None else (self._receive_tls, self._look_tls)
        )
        self._busy_poll = BusyPoll(core.limits.busy_poll_time)
        read = self._busy_poll.read
        phase, began = conversation.phase, core.tick
        while phase is not Phase.CLOSING:
            self.waits = (began, limits[phase], phase)
            if core.stopping and phase is Phase.IDLE:
                self._flush(conversation)
                break
            data = read(receive, look)
            if not data:
                self._ended(conversation)
                break
            jobs = conversation.feed(data)
            if jobs:
                self._run(conversation, jobs)
            self._flush(conversation)
            if jobs or phase is Phase.IDLE:
                began = core.tick
            phase = conversation.phase
        self._linger()

    def _receive(self) -> bytes:
        return self._socket.recv(_CHUNK)

    def _look(self) -> bytes | None:
        try:
            return self._socket.recv(_CHUNK, _DONTWAIT)
        except BlockingIOError:
            return None

    def _receive_tls(self) -> bytes:
        """Wait for the peer outside of TLS: being woken inside would be an end of input that TLS answers with a fatal alert."""
        tls = self._socket
        if not tls.pending() and not socket.socket.recv(tls, 1, socket.MSG_PEEK):  # type: ignore[attr-defined]
            return b""
        return tls.recv(_CHUNK)

    def _look_tls(self) -> bytes | None:
        tls = self._socket
        try:
            there = tls.pending() or socket.socket.recv(tls, 1, socket.MSG_PEEK | _DONTWAIT)  # type: ignore[attr-defined]
        except BlockingIOError:
            return None
        return tls.recv(_CHUNK) if there else b""

    def _serve_interactive(self, conversation: RpycConversation) -> None:
        """Let a pump do what `_talk` does, for a conversation whose jobs may wait for the peer."""
        self.waits = (self._core.tick, 0.0, Phase.IDLE)
        limits = self._core.limits
        pump = self._pump = Pump(
            self._socket,
            conversation,
            self._core.loop.run,
            stall_seconds=limits.send_time or _NEVER,
            receive_time=limits.receive_time,
            busy_poll_time=limits.busy_poll_time,
        )
        if self._core.stopping:  # since this connection was accepted; `stop` may have come too early for it
            conversation.stop()
        pump.begin()
        pump.serve()

    def _run(self, conversation: Conversation, jobs: Sequence[Job]) -> None:
        for number, job in enumerate(jobs, 1):
            if job.mode is Mode.QUICK:
                try:
                    job.run()
                except Exception as error:  # noqa: BLE001 - no job may end the core
                    give_up(job, error)
            else:
                self._flush(conversation)
                self._work(job)
            more = conversation.finish(job)
            if more:
                self._run(conversation, more)
            if not number % BUNDLE:
                self._flush(conversation)

    def _work(self, job: Job) -> None:
        core = self._core
        core.in_flight.append(None)
        try:
            if len(core.in_flight) > core.limits.in_flight:
                core.refused.append(None)
                job.refuse(AT_IN_FLIGHT)
                return
            self.waits = (core.tick, core.limits.work_time, Phase.WORKING)
            if job.mode is Mode.ASYNC:
                core.loop.run(job.run_async())
            else:
                job.run()
        except BaseException as error:
            if core.loop.closed:  # `stop_time` is over
                raise CancelledError from error
            give_up(job, error)
        finally:
            core.in_flight.pop()

    def _flush(self, conversation: Conversation) -> None:
        if self._core.stopping:
            conversation.stop()
        elif self._core.retiring:
            conversation.retire()
        data = conversation.take()
        if data:
            self.waits = (self._core.tick, self._core.limits.send_time, Phase.WORKING)
            self._socket.sendall(data)

    def _ended(self, conversation: Conversation) -> None:
        if self._expired:
            conversation.time_out()
        else:
            conversation.eof()
        self._flush(conversation)

    def _linger(self) -> None:
        """Wait for the peer to close, so that what it still sends does not reset the connection under our last answer."""
        raw, limit = self._socket, self._core.limits.linger_time
        self.waits = (self._core.tick, limit, Phase.CLOSING)
        self._lingering = True
        if self._listener.tls is not None:
            raw.setblocking(False)
            with suppress(OSError, ValueError):  # there is no waiting for the peer's own goodbye
                raw.unwrap()  # type: ignore[attr-defined]
            raw.setblocking(True)
        if self._core.stopping or not limit:
            return
        # Not the methods of SSLSocket, which would look for TLS in what comes.
        socket.socket.shutdown(raw, socket.SHUT_WR)
        while socket.socket.recv(raw, _CHUNK):
            pass

    def expire(self, phase: Phase) -> None:
        """The thread has waited too long: wake it. An answer may still be due to a peer that was slow to speak.

        Args:
            phase: What `waits` said. If the peer has spoken since, it is answered, and then sent away.
        """
        self._expired = True
        self._wake(socket.SHUT_RD if phase in _INTERRUPTIBLE else socket.SHUT_RDWR)

    def stop(self) -> None:
        """The server stops: wake the thread if it waits for a new message, or for the peer to close."""
        conversation = self.conversation
        if self._lingering or (conversation is not None and conversation.phase is Phase.IDLE):
            self._wake(socket.SHUT_RD)
        elif conversation is not None and conversation.interactive:
            conversation.stop()  # a pump does not look whether the core stops

    def abort(self) -> None:
        """The server has waited long enough."""
        self._wake(socket.SHUT_RDWR)

    def forsake(self) -> None:
        """The server ends, and the thread with it, in the middle of what it does: a service that is to be told of the end is told here."""
        if self.conversation is not None and self._pump is not None:
            self.conversation.eof()
            self._pump.let_go()

    def _wake(self, how: int) -> None:
        with suppress(OSError):  # closed meanwhile
            # Not SSLSocket.shutdown, which would make the socket a plain one under the thread that uses it.
            socket.socket.shutdown(self._socket, how)
