"""The call and the people in it: `Peer`, `Credentials`, `Identity`, `Call`, `Outcome`. What happens to a call lives in `kernel.kernel`."""

from __future__ import annotations

import enum
import ipaddress
import itertools
import os
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import msgspec

from anycore.wire.faults import DEADLINE_EXCEEDED, Fault

if TYPE_CHECKING:
    from anycore.kernel.method import Method


class Mode(enum.Enum):
    """Where a method runs. Cores decide by this alone."""

    QUICK = "quick"
    """Inline, on the thread that read the request: the method neither waits nor computes for long."""
    BLOCKING = "blocking"
    """In a worker thread: a plain `def` may wait as long as it likes."""
    ASYNC = "async"
    """On the event loop: an `async def`."""


class Peer(msgspec.Struct, frozen=True, eq=False):
    """What the transport knows of the other end of a connection.

    Args:
        transport: `tcp`, `udp`, `unix`, `stdio` or `memory`.
        host: The address in text form, without a port; empty where the transport has none.
        port: The port, 0 where the transport has none.
        tls: The TLS version, as in `TLSv1.3`; empty on a plain connection.
        certificate: The peer's certificate in DER form, when TLS asked for one and got it.
        local: True when the peer is on this machine: a loopback address, a unix socket, a pipe. A proxy's callers never are.
        uid: The user that the process at the other end of a Unix socket ran as when it connected; None where nobody says so.
        gid: Its group, likewise.
        pid: Its number, likewise.
        identity: Who it is, where the listener has found that out before anything was said on the wire.
        proxy: Who has named the host, as it is not the other end of the connection: the address of a proxy, `unix` for one that comes by a
            Unix socket, `server` for an HTTP server that we live in; empty where the host is the other end.
    """

    transport: str = "memory"
    host: str = ""
    port: int = 0
    tls: str = ""
    certificate: bytes | None = None
    local: bool = True
    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    identity: Identity | None = None
    proxy: str = ""

    @classmethod
    def of_address(
        cls, address: Any, tls: str = "", certificate: bytes | None = None, process: tuple[int, int, int] | None = None
    ) -> Peer:
        """Make a peer of what `socket.getpeername()` returned.

        Args:
            address: A `(host, port, ...)` tuple for IPv4 and IPv6, a string or bytes for a unix socket.
            tls: The TLS version, or an empty string.
            certificate: The peer's certificate in DER form.
            process: Number, user and group of the process at the other end of a Unix socket (`SO_PEERCRED`, unix(7)).
        """
        if isinstance(address, tuple) and len(address) >= 2:
            host = str(address[0])
            return cls("tcp", host, int(address[1]), tls, certificate, local=is_loopback(host))
        # None where the peer has reset the connection meanwhile: it may have been anybody.
        known = isinstance(address, (str, bytes))
        if not known or process is None:
            return cls("unix" if known else "tcp", "", 0, tls, certificate, local=known)
        pid, uid, gid = process
        return cls("unix", "", 0, tls, certificate, local=True, uid=uid, gid=gid, pid=pid)

    def __str__(self) -> str:
        if not self.host:
            return self.transport
        if not self.port:  # proxies do not say it
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Tell whether an address is this machine's own: 127.0.0.0/8, ::1, or the former mapped into IPv6."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


class Credentials(msgspec.Struct, frozen=True):
    """What a message presents to show who sent it, as it was sent: nothing here is checked yet.

    Args:
        authorization: The `Authorization` field, as in `Basic ...` (RFC 9110 section 11.6.2).
        cookie: The `Cookie` field (RFC 6265 section 5.4).
        proxied: Names in lower case and values of the fields in which a proxy says who called it.
    """

    authorization: str = ""
    cookie: str = ""
    proxied: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        given = [name for name in ("authorization", "cookie", "proxied") if getattr(self, name)]
        return f"<credentials: {', '.join(given) or 'none'}>"  # never the secrets, whoever logs this


NO_CREDENTIALS = Credentials()


class Identity(msgspec.Struct, frozen=True):
    """Who the peer turned out to be.

    Args:
        name: The principal's name.
        kind: How it was established: `certificate`, `password`, `token`, `session`, `unix`, `rpyc`, `proxy`; `anonymous` when it was not.
        groups: The groups the principal belongs to, as far as whoever established it knows them.
        dn: The subject of its certificate, in slash form, as in `/DC=org/CN=Alice`; empty when it has none.
        names: Further names, as in `cn:alice`, `dns:host.example.org`, `email:alice@example.org`.
        scopes: Patterns of the methods, as in rules, beyond which this identity may not go, whatever these allow it; none for no such bound.
    """

    name: str
    kind: str
    groups: frozenset[str] = frozenset()
    dn: str = ""
    names: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


ANONYMOUS = Identity("anonymous", "anonymous")
UNIDENTIFIED = Identity("nobody yet", "unidentified")
"""The identity of a call before the authentication step."""

_numbers = itertools.count(1)


class Call(msgspec.Struct, eq=False):
    """One call on its way through the kernel. The same object goes all the way in.

    Args:
        name: The method asked for, as the peer wrote it.
        args: Arguments by position.
        kwargs: Arguments by name.
        peer: Where it came from.
        wire: The wire it came over, as in `xmlrpc`.
        deadline: When the caller stops waiting, on the clock of `time.monotonic()`, in seconds; None for never.
        credentials: What the message presented.
        identity: Who calls; set by the authentication step, which leaves alone what is set already.
        method: What is called; set by the resolution step.
        number: Counts the calls of this process.
        request_id: What the caller calls its request, if it does; see `id`.
    """

    name: str
    args: Any = ()
    kwargs: dict[str, Any] | None = None
    peer: Peer = Peer()
    wire: str = "memory"
    deadline: float | None = None
    credentials: Credentials = NO_CREDENTIALS
    identity: Identity = UNIDENTIFIED
    method: Method | None = None
    reply_headers: tuple[tuple[str, str], ...] = ()
    number: int = msgspec.field(default_factory=_numbers.__next__)
    request_id: str = ""

    @property
    def id(self) -> str:
        """What log lines about the call carry: the caller's own name for the request, else process and number."""
        return self.request_id or f"{os.getpid():x}-{self.number}"

    def remaining(self) -> float | None:
        """Return the seconds left until the deadline, negative when it has passed, None when there is none."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    def check_deadline(self) -> None:
        """Do nothing while there is time left.

        Raises:
            Fault: With `DEADLINE_EXCEEDED`, when the deadline has passed.
        """
        left = self.remaining()
        if left is not None and left <= 0:
            message = f"{self.name}: the call's deadline passed {-left:.3f} s ago; ask for more time or for less work"
            raise Fault(DEADLINE_EXCEEDED, message)


class Outcome(msgspec.Struct, eq=False):
    """What became of a call: a value, or a fault. It goes all the way back.

    Args:
        value: What the method returned; meaningless when there is a fault.
        fault: Why the call failed, or None.
    """

    value: Any = None
    fault: Fault | None = None

    def unwrap(self) -> Any:
        """Return the value.

        Raises:
            Fault: The fault, when there is one.
        """
        if self.fault is not None:
            raise self.fault
        return self.value


class Several(list[Any]):
    """Results that stand alone: where a wire cannot carry one of them, a fault struct takes its place and the others arrive."""


_current: ContextVar[Call] = ContextVar("anycore_current_call")


def current_call() -> Call:
    """Return the call that runs here.

    A method that wants it may also declare a parameter annotated `Call`, which callers do not see.

    Raises:
        LookupError: When no call runs in this thread or task.
    """
    try:
        return _current.get()
    except LookupError:
        message = "no call is running here: current_call() works in exposed methods and in what they call"
        raise LookupError(message) from None
