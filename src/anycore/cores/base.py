"""What every core has: listeners, limits, figures, and the verbs by which a server runs and stops it."""

from __future__ import annotations

import abc
import logging
import os
import socket
import ssl
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from anycore.conversations.base import Phase
from anycore.cores.topics import ANSWER_SECONDS, Answer, Topics, encode
from anycore.cores.unix_peers import process_behind
from anycore.kernel.call import Identity, Peer
from anycore.kernel.tally import Totals
from anycore.objects.config import BUSY_POLL_TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from contextlib import AbstractContextManager

    from anycore.conversations.base import Conversation, Job
    from anycore.conversations.site import HttpSite
    from anycore.cores.sharing import Share
    from anycore.kernel.tally import Tally

    Greet = Callable[[socket.socket], Identity]

_log = logging.getLogger("anycore.core")


class CoreLimits(msgspec.Struct, frozen=True):
    """Bounds that a core keeps. Times are in seconds; 0 means no limit.

    Args:
        connections: Open connections; one more is told so and closed. Over TLS it is closed without a word, as a hand-shake is work.
        handshakes: TLS hand-shakes at once. One more ends the oldest, if that has taken more than a second, or else is refused itself. A
            core with a process for each connection gives no more than half of its processes to them.
        processes: Processes, where the core has one for each connection; one connection more is refused as above.
        in_flight: Jobs that run or wait at once, quick ones aside; one more is refused.
        workers: Threads for blocking methods, where the core has a pool of them.
        backlog: Connections that the system keeps waiting for `accept`.
        idle_time: How long a peer may stay silent between messages.
        receive_time: How long a message may take to arrive, from its first byte to its last.
        work_time: How long a connection may wait for its answers.
        send_time: How long a peer may take to accept what it is sent.
        handshake_time: How long a TLS hand-shake may take.
        linger_time: How long to wait, after the last answer, for the peer to close; 0 to close at once.
        stop_time: How long work may go on after the server was told to stop.
        drain_time: How long a server whose place another has taken goes on with connections that it has; their peers are told to open a
            new one with their next answer, where the wire can say so.
        busy_poll_time: How long a thread or event loop looks for a peer's next message, where the last ones came quickly, before it sleeps
            until that comes: being woken takes longer than a short call. It uses a processor meanwhile, for one connection at a time; 0
            for never.
    """

    connections: int = 10_000
    handshakes: int = 1_000
    processes: int = 256
    in_flight: int = 1_000
    workers: int = 32
    backlog: int = 1024
    idle_time: float = 75.0
    receive_time: float = 30.0
    work_time: float = 0.0
    send_time: float = 30.0
    handshake_time: float = 10.0
    linger_time: float = 2.0
    stop_time: float = 30.0
    drain_time: float = 75.0
    busy_poll_time: float = BUSY_POLL_TIME

    def of_phases(self) -> dict[Phase, float]:
        """Return the time limit of each phase of a conversation."""
        return {
            Phase.IDLE: self.idle_time,
            Phase.RECEIVING: self.receive_time,
            Phase.WORKING: self.work_time,
            Phase.CLOSING: self.linger_time,
        }

    @property
    def sweep_interval(self) -> float:
        """How often to look for what has taken too long: a quarter of the shortest limit, between 10 ms and 1 s."""
        times = (
            self.idle_time,
            self.receive_time,
            self.work_time,
            self.send_time,
            self.handshake_time,
            self.linger_time,
        )
        return min(1.0, max(0.01, min((time for time in times if time > 0), default=4.0) / 4))


class Listener(msgspec.Struct, eq=False):
    """A bound socket and what is spoken on it.

    Args:
        socket: Bound; the core puts it into the listening state and closes it.
        open: Makes the conversation with a peer that has connected.
        url: What people see.
        tls: The TLS context, or None for a plain listener. Another one may take its place while the core runs: new hand-shakes take that.
        site: What answers requests, where HTTP is spoken: for cores whose server reads HTTP itself.
        files: PEM files with the certificate and its key, where TLS is spoken: for cores whose server reads them itself.
        greet: Finds out who has connected, from the bare socket, before anything is said on the wire; it may wait for the peer, and raises
            where that is not let in. Not with TLS.
    """

    socket: socket.socket
    open: Callable[[Peer], Conversation]
    url: str = ""
    tls: ssl.SSLContext | None = None
    site: HttpSite | None = None
    files: tuple[str, str] = ("", "")
    greet: Greet | None = None

    @property
    def greets(self) -> bool:
        """Whether something goes before the conversation: a TLS hand-shake, or `greet`. It is bounded in time and number."""
        return self.tls is not None or self.greet is not None


class UnservableError(ValueError):
    """A core cannot serve a listener. The message says which, why, and how to cure it."""


class Figures(msgspec.Struct):
    """What a core has counted.

    Args:
        connections: Open connections.
        in_flight: Jobs that run or wait.
        accepted: Connections accepted so far.
        refused: Connections and jobs refused at a limit so far.
        timed_out: Connections ended so far because a hand-shake, a message, an answer or the peer's reading took too long; those
            that were merely idle do not count.
    """

    connections: int = 0
    in_flight: int = 0
    accepted: int = 0
    refused: int = 0
    timed_out: int = 0


class Process(msgspec.Struct, frozen=True):
    """A process that serves.

    Args:
        number: Its number among them.
        process: Its number for the system.
        state: `starting`, `serving` or `leaving`.
        age: Seconds since it was made.
        calls: Calls that it has answered; 0 without a tally.
        replaced: How many it is the replacement of: processes of its number that have ended since the server started.
        figures: What its core has counted.
    """

    number: int
    process: int
    state: str
    age: float
    calls: int
    replaced: int
    figures: Figures


UNSENT: Final = 128 * 1024
"""Bytes of our answers that the system keeps for a peer that does not take them."""


def bound_unsent(bound: socket.socket) -> None:
    """Bound what the system keeps of our answers to peers that do not read them (tcp(7), `TCP_NOTSENT_LOWAT`).

    Without it, Linux lets the buffer of each connection grow to megabytes. What is under way to a peer that reads does not count, so
    this costs no speed on long lines.

    Args:
        bound: A listening socket, from which accepted ones inherit it.
    """
    tcp = bound.family in (socket.AF_INET, socket.AF_INET6) and bound.type == socket.SOCK_STREAM
    if tcp and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)


class Core(abc.ABC):
    """Moves bytes between sockets and conversations and runs their jobs.

    Args:
        listeners: Where to listen.
        limits: Bounds; the defaults when left out.

    Attributes:
        several: Whether several processes serve. `startup` and `shutdown` are called in each of them, then.
        forks: Whether conversations are held in other processes than the one that called `run`.
        number: Which of several processes that serve this is, from 0; 0 where there is one. What is to be done once is done where it
            is 0. The process that looks after the others, if there is one, has `SUPERVISOR`, -1, and serves nobody.
        ready: Called once, in the process that called `run`, when others have started to serve. Set before `run`; a core that serves in
            the process that called `run` does not call it, as `startup` does.
        retiring: Whether no new connection is accepted, because another server does that now.
        share: This process's share of the connections, where others accept on the same sockets; else None. Set before `run`. A core that
            heeds it takes one connection at a time, and lets others go first while it is ahead.
        tally: Adds up what is counted, for a core that has several processes; None when there is nothing to add up. Set before `run`.
    """

    name: str = ""
    several: ClassVar[bool] = False
    forks: ClassVar[bool] = False

    def __init__(self, listeners: Sequence[Listener], limits: CoreLimits | None = None) -> None:
        self.topics = Topics()
        self.number = 0
        self._made = time.monotonic()
        self.ready: Callable[[], None] = lambda: None
        self.listeners = tuple(listeners)
        for listener in self.listeners:
            bound_unsent(listener.socket)
        self.limits = limits if limits is not None else CoreLimits()
        self.phase_limits = self.limits.of_phases()
        self.tally: Tally | None = None
        self.retiring = False
        self.share: Share | None = None

    def set_limits(self, limits: CoreLimits) -> None:
        """Keep other limits from now on; `workers`, `backlog` and `handshakes` stay as they were. May be called from any thread.

        Args:
            limits: The limits.
        """
        self.limits = limits
        self.phase_limits = limits.of_phases()

    def changing(self) -> AbstractContextManager[object]:
        """Return a context in which plugins may be loaded again. A core that forks does not do so meanwhile."""
        return nullcontext()

    @abc.abstractmethod
    def run(self, startup: Callable[[], None] = lambda: None, shutdown: Callable[[], None] = lambda: None) -> None:
        """Serve until stopped. Blocks; called once, by the main thread of the server.

        Args:
            startup: Called once before the first connection is accepted, in a thread where it may block and where
                `run_coroutine` works. Listening sockets already queue connections. What it raises ends the run.
            shutdown: Called once after the last connection has ended, in the same circumstances.
        """

    @abc.abstractmethod
    def stop(self) -> None:
        """Stop accepting, let running work finish within `stop_time`, and make `run` return.

        May be called from any thread and from a signal handler, more than once, also before `run`.
        """

    def retire(self) -> None:
        """Stop accepting, as another server does that now on the same sockets, and stop when no connection is left, or after `drain_time`.

        A connection is not closed under a peer that may have sent a request just now: it is told with its next answer that this was the last,
        where its wire can say so. May be called from any thread and from a signal handler, more than once. A core that cannot do all this
        stops.
        """
        self.stop()

    @abc.abstractmethod
    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine on the core's event loop and wait for it. Not to be called on the loop itself.

        Args:
            coroutine: What to run.
            timeout: Seconds to wait, or None.

        Returns:
            What it returned.

        Raises:
            TimeoutError: When it took longer; it is cancelled then.
            Exception: What it raised.
        """

    @abc.abstractmethod
    def figures(self) -> Figures:
        """Return what was counted so far. Not to be called on the loop, where several processes serve: they are asked."""

    def totals(self) -> Totals:
        """Return what all processes have counted of methods and incidents; nothing without a tally. Not to be called on the loop."""
        return self.tally.totals() if self.tally is not None else Totals()

    def processes(self) -> list[Process]:
        """Return the processes that serve, by their numbers. Not to be called on the loop."""
        calls = sum(counts.count for counts in self.totals().methods.values())
        age = time.monotonic() - self._made
        return [Process(self.number, os.getpid(), "serving", age, calls, 0, self.figures())]

    def ping(self, answer: Callable[[], None]) -> None:
        """Have the thread that sees to connections call something, soon: as long as it does not, it is held up.

        May be called from any thread. A core that has no such thread calls it at once.

        Args:
            answer: What to call; it is quick and raises nothing.
        """
        answer()

    def on(self, topic: str, handler: Callable[[Any], Any]) -> None:
        """Have a handler called in this process when something is said on a topic, by this process or another one of the server.

        Handlers that are there before `run` are there in every process; those that `startup` adds, in the processes that serve.

        Args:
            topic: A name, such as `plugins.reload`.
            handler: Takes the payload, in a thread where it may block. What it returns is its answer, where one is wanted.
        """
        self.topics.on(topic, handler)

    def publish(self, topic: str, payload: Any = None) -> None:
        """Say something to every process of the server, this one included. Waits for nobody else. What handlers raise is logged.

        A process that begins to serve later is a copy of the one that looks after the others, which hears publications as well: what they
        change by handlers that are there before `run`, it finds changed.

        Args:
            topic: The topic.
            payload: What msgpack can carry.
        """
        self.topics.hear(topic, encode(payload))

    def ask(
        self,
        topic: str,
        payload: Any = None,
        *,
        worker: int | None = None,  # noqa: ARG002 - there is one process only
        timeout: float = ANSWER_SECONDS,  # noqa: ARG002 - as above
    ) -> list[Answer]:
        """Ask every process that serves, this one included if it does, or one of them. Not to be called on the loop.

        Args:
            topic: The topic.
            payload: What msgpack can carry.
            worker: The number of the process to ask; all when left out. One process alone answers to every number.
            timeout: How long to wait for answers, in seconds.

        Returns:
            The answers, in the order of the processes' numbers; one for each handler of the topic. A process that ends or is too slow
            gives one with an `error`.
        """
        return self.topics.answer(topic, encode(payload), self.number)


BUNDLE = 16
"""Jobs that are run before what is ready is sent, so that a peer that asks much and reads nothing costs little memory."""
DRAIN_STEP = 0.05
"""How often, in seconds, a core that retires looks whether its last connection has ended."""
AT_CONNECTIONS = "the server has as many connections as it takes; try again later"
AT_IN_FLIGHT = "the server has as many requests under way as it takes; try again later"


def peer_of(
    listener: Listener,
    address: Any,
    tls: str = "",
    certificate: bytes | None = None,
    connected: socket.socket | None = None,
) -> Peer:
    """Make the peer of a connection.

    Args:
        listener: Where it connected.
        address: What the system says its address is; None when it does not know any more, because the peer has reset the connection.
        tls: The TLS version, or an empty string.
        certificate: The peer's certificate in DER form.
        connected: The connected socket, or what asyncio gives in its place; asked only where it can say which process it leads to.

    Returns:
        The peer. One without an address is not local: what it has sent may still be read, and anybody may have sent it.
    """
    if not isinstance(address, tuple) and listener.socket.family != getattr(socket, "AF_UNIX", None):
        return Peer("tcp", "", 0, tls, certificate, local=False)
    if connected is None or isinstance(address, tuple):
        return Peer.of_address(address, tls, certificate)
    return Peer.of_address(address, tls, certificate, process_behind(connected))


def peer_on(listener: Listener, connected: socket.socket, address: Any) -> Peer:
    """Make the peer of a connected socket, whose TLS hand-shake, if there is one, is done.

    Args:
        listener: Where it connected.
        connected: The socket: an `SSLSocket` where TLS is spoken.
        address: What the system says its address is; see `peer_of`.
    """
    if not isinstance(connected, ssl.SSLSocket):
        return peer_of(listener, address, connected=connected)
    return peer_of(listener, address, connected.version() or "", connected.getpeercert(binary_form=True))


def give_up(job: Job, error: BaseException) -> None:
    """Deal with a job that has raised, which no job may: log it, and let its peer be told.

    Args:
        job: The job.
        error: What it raised.
    """
    _log.error("a %s raised; its peer is told that the server failed", type(job).__name__, exc_info=error)
    job.fail()
