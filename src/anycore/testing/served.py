"""A core that runs in a thread for a check, and the peers that talk to it over real sockets. No promise is checked here."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
import weakref
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from anycore.cores.base import CoreLimits, Listener
from anycore.testing.certificate import client_context, server_context
from anycore.testing.elsewhere import THREADS, Desk, at_home
from anycore.testing.lines import Journal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from anycore.conversations.base import Conversation
    from anycore.cores.base import Core
    from anycore.kernel.call import Peer

    CoreFactory = Callable[[Sequence[Listener], CoreLimits], Core]

_ASK: Final = "check-core.ask"
QUIET = 0.2
"""Seconds of the short time limits that checks set."""


def expect(condition: object, promise: str) -> None:
    """Raise AssertionError with the promise unless the condition is true; unlike `assert`, also under `python -O`."""
    if not condition:
        raise AssertionError(promise)


def _let_go() -> None:
    """Close the peers' ends in a process that the core has forked; while it held one, closing it here would tell the core nothing."""
    for connected in list(_of_peers):
        connected.close()


_of_peers: Final = weakref.WeakSet[socket.socket]()
os.register_at_fork(after_in_child=_let_go)


class Served:
    """A core at work.

    Attributes:
        core: The core.
        journal: What its conversations saw.
        address: Where it listens: `(host, port)`, or a path.
        thread: Where `run` runs.
        error: What `run` raised, or None.
    """

    known_as = "served"

    def __init__(self, core: Core, journal: Journal, address: Any, patience: float) -> None:
        core.on(_ASK, lambda _: self._ask_for_certificates())  # in each process that serves
        self.desk = journal.desk
        if self.desk is not None:
            self.desk.keep(self.known_as, self)
            self.desk.keep(journal.known_as, journal)
        self.core = core
        self.journal = journal
        self.address = address
        self.patience = patience
        self.error: BaseException | None = None
        self.started = threading.Event()
        self.calls: list[str] = []
        self.thread = threading.Thread(target=self._run, name=THREADS, daemon=True)
        self.on_startup: Callable[[], None] = lambda: None
        self.on_shutdown: Callable[[], None] = lambda: None

    def _run(self) -> None:
        try:
            self.core.run(self._startup, self._shutdown)
        except BaseException as error:  # noqa: BLE001 - to be looked at by the check
            self.error = error
        finally:
            self.started.set()

    @at_home
    def _startup(self) -> None:
        self.calls.append("startup")
        self.on_startup()
        self.started.set()

    @at_home
    def _shutdown(self) -> None:
        self.calls.append("shutdown")
        self.on_shutdown()

    def start(self) -> None:
        """Run the core, and wait until it has started."""
        self.thread.start()
        expect(self.started.wait(self.patience), f"run must call startup; it did not within {self.patience} s")

    def finish(self) -> None:
        """Stop the core, wait, and see that it ended well."""
        self.core.stop()
        self.join()

    def join(self) -> None:
        """Wait for `run` to return, and raise what it raised."""
        self.thread.join(self.patience)
        expect(not self.thread.is_alive(), f"run must return after stop; it had not after {self.patience} s")
        if self.error is not None:
            raise self.error

    def ask_for_certificates(self) -> None:
        """Have the listener ask its peers for certificates from now on."""
        self.core.ask(_ASK, timeout=self.patience)

    def _ask_for_certificates(self) -> None:
        self.core.listeners[0].tls = server_context(ask=True)

    def until(self, condition: Callable[[], object], promise: str) -> None:
        """Wait for something to become true, as nothing tells when it does."""
        deadline = time.monotonic() + self.patience
        while not condition():
            expect(time.monotonic() < deadline, f"{promise}; it was not so after {self.patience} s")
            time.sleep(0.002)

    def forgets(self, connections: int = 0) -> None:
        """Wait until the core has no more than some connections."""
        self.until(
            lambda: self.core.figures().connections <= connections,
            f"the core must have no more than {connections} connections now",
        )

    def connect(self, tls: ssl.SSLContext | None = None, *, receive_buffer: int = 0) -> Caller:
        """Connect a peer."""
        made = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        _of_peers.add(made)
        made.settimeout(self.patience)
        try:
            if receive_buffer:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, receive_buffer)
            made.connect(self.address)
            if tls is not None:
                made = tls.wrap_socket(made, server_hostname="localhost")
        except BaseException:
            made.close()
            raise
        return Caller(made)


class Caller:
    """The peer's end of a connection.

    Args:
        connected: The socket.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._buffer = b""
        _of_peers.add(connected)

    def send(self, *lines: str) -> None:
        """Send lines in one piece."""
        self.socket.sendall("".join(f"{line}\n" for line in lines).encode())

    def line(self) -> str:
        """Return the next line, without its end; an empty string when the core has closed the connection."""
        pieces = [self._buffer]
        while b"\n" not in pieces[-1]:
            piece = self.socket.recv(1 << 20)
            if not piece:
                self._buffer = b""
                return b"".join(pieces).decode()
            pieces.append(piece)
        line, _, self._buffer = b"".join(pieces).partition(b"\n")
        return line.decode()

    def ask(self, *lines: str) -> list[str]:
        """Send lines in one piece, and return as many answers."""
        self.send(*lines)
        return [self.line() for _ in lines]

    def end(self) -> None:
        """Send no more, but read on."""
        self.socket.shutdown(socket.SHUT_WR)

    def gone(self) -> bool:
        """Wait for the core to close the connection; whether it did without a line more."""
        try:
            return not self.line()
        except TimeoutError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def vanish(self) -> None:
        """Close the connection in such a way that the core gets a reset (RFC 9293 section 3.10.5)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Bench:
    """Makes cores for checks.

    Args:
        factory: Makes the core under test.
        patience: Seconds to wait for anything that is promised.
    """

    def __init__(self, factory: CoreFactory, patience: float) -> None:
        self.factory = factory
        self.patience = patience

    served = Served
    """What a core at work is."""

    def listener(
        self,
        bound: socket.socket,
        journal: Journal,
        opener: Callable[[Journal, Peer], Conversation],
        tls: ssl.SSLContext | None,
    ) -> Listener:
        """Return the listener that a core is made with."""
        return Listener(bound, lambda peer: opener(journal, peer), "test:", tls)

    @contextmanager
    def made(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        unix: bool = False,
        window: int = 1000,
        buffers: int = 0,
        opener: Callable[[Journal, Peer], Conversation] = Journal.open,
        **limits: float,
    ) -> Iterator[Served]:
        """Make a core that listens on this machine, and does not run yet; stop and check it at the end.

        Args:
            tls: The listener's TLS context.
            unix: Listen on a unix socket.
            window: See `Journal`.
            buffers: Bytes of the system's buffers for a connection; 0 for what the system thinks best.
            opener: Makes a conversation.
            **limits: Fields of `CoreLimits`. Time limits that are left out are as long as the patience.
        """
        times = ("idle", "receive", "send", "handshake", "linger", "stop")
        bounds: dict[str, Any] = {**{f"{time}_time": self.patience for time in times}, "workers": 8, **limits}
        journal = Journal(self.patience, window)
        with ExitStack() as stack:
            bound = stack.enter_context(socket.socket(socket.AF_UNIX if unix else socket.AF_INET))
            if buffers:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="anycore-"))
            bound.bind(str(Path(directory) / "socket") if unix else ("127.0.0.1", 0))
            core = self.factory([self.listener(bound, journal, opener, tls)], CoreLimits(**bounds))
            if core.forks:
                journal.desk = Desk(str(Path(directory) / "desk"))
                stack.callback(journal.desk.close)
            served = self.served(core, journal, bound.getsockname(), self.patience)
            try:
                yield served
            except BaseException:
                journal.open_all()
                core.stop()
                served.thread.join(1.0) if served.thread.ident else None
                raise
            journal.open_all()
            if served.thread.ident is None:  # a core that was made is run, so that it can close what it holds
                core.stop()
                served.start()
            if served.thread.is_alive():
                served.finish()

    @contextmanager
    def serving(self, **options: Any) -> Iterator[Served]:
        """Make a core and run it; see `made`."""
        with self.made(**options) as served:
            served.start()
            yield served

    @contextmanager
    def talking(self, **options: Any) -> Iterator[tuple[Served, Caller]]:
        """Run a core and connect one peer; see `made`."""
        with self.serving(**options) as served:
            tls = client_context(show=True) if options.get("tls") is not None else None
            with served.connect(tls) as caller:
                yield served, caller


@contextmanager
def many(served: Served, count: int) -> Iterator[list[Caller]]:
    """Connect several peers."""
    with ExitStack() as stack:
        yield [stack.enter_context(served.connect()) for _ in range(count)]


def quietly(action: Callable[[], object]) -> None:
    """Do something that may fail because the core has closed the connection."""
    with suppress(OSError):
        action()
