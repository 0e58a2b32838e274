"""Checks of `check_core`: conversations are told who their peers are, and sockets are set up as they should be."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anycore.testing.certificate import certificate_der, server_context
from anycore.testing.served import Bench, Served, expect

if TYPE_CHECKING:
    from anycore.kernel.call import Peer

_REPLAYS: Final = 20


def tells_a_tcp_peer(bench: Bench) -> None:
    """A TCP peer is told with its host and port, as plain and, on loopback, as local."""
    with bench.talking() as (served, caller):
        peer = _peer_of(served, caller)
        host, port = caller.socket.getsockname()
        expect(
            (peer.transport, peer.host, peer.port) == ("tcp", host, port), f"the peer is {host}:{port}, not {peer!r}"
        )
        expect(peer.local, "a peer on loopback is local")
        expect(not peer.tls and peer.certificate is None, "there was no TLS")


def tells_a_unix_peer(bench: Bench) -> None:
    """A peer on a unix socket is told as such, and as local."""
    with bench.talking(unix=True) as (served, caller):
        peer = _peer_of(served, caller)
        expect(peer.transport == "unix" and peer.local, f"a peer on a unix socket is told as {peer!r}")
        expect(caller.ask("blocking b", "async a") == ["b", "a"], "all modes work on a unix socket")


def tells_a_tls_peer(bench: Bench) -> None:
    """A TLS peer is told with the version and the certificate that it showed."""
    with bench.talking(tls=server_context(ask=True)) as (served, caller):
        peer = _peer_of(served, caller)
        expect(peer.transport == "tcp" and peer.port == caller.socket.getsockname()[1], f"the peer is told as {peer!r}")
        expect(peer.tls.startswith("TLS"), f"the TLS version is told, and not {peer.tls!r}")
        expect(peer.certificate == certificate_der(), "the certificate is told in DER form")
        expect(caller.ask("blocking b", "async a") == ["b", "a"], "all modes work over TLS")


def tells_a_tls_peer_without_certificate(bench: Bench) -> None:
    """A TLS peer that was not asked for a certificate has none."""
    with bench.talking(tls=server_context()) as (served, caller):
        expect(_peer_of(served, caller).certificate is None, "there is no certificate to tell")


def takes_no_stranger_for_local(bench: Bench) -> None:
    """A TCP peer that has reset its connection before it was accepted is never told as one on a unix socket.

    What such a peer has sent may still be read, while the system does not know its address any more. On a unix socket everybody
    is local and may do what local callers may.
    """
    with bench.made() as served:
        ready = threading.Event()
        served.on_startup = lambda: expect(ready.wait(bench.patience), "the check itself is slow")
        served.thread.start()
        served.until(lambda: _listens(served), "the socket must listen while startup runs")
        for _ in range(_REPLAYS):
            caller = served.connect()
            caller.send("say gone")
            caller.vanish()
        ready.set()
        with served.connect() as caller:
            expect(caller.ask("say here") == ["here"], "the core must serve those that are still there")
        kinds = {peer.transport for peer in served.journal.peers}
        expect(kinds == {"tcp"}, f"all peers came over TCP, and were told as {sorted(kinds)}")
        expect(
            all(peer.host for peer in served.journal.peers if peer.local), "nobody is local whose address is unknown"
        )


def sends_small_answers_at_once(bench: Bench) -> None:
    """Accepted TCP sockets have TCP_NODELAY set, so that no answer waits for the peer's acknowledgement of another.

    This looks at the core's end of the connection itself, where it is in this process and the system shows it (/dev/fd).
    """
    for tls in (None, server_context()):
        with bench.talking(tls=tls) as (_, caller):
            caller.ask("say hello")
            option = _option_of_other_end(caller.socket)
            expect(option != 0, "set TCP_NODELAY on accepted sockets: small answers wait 40 ms without it")


def _peer_of(served: Served, caller: Any) -> Peer:
    expect(caller.ask("say hello") == ["hello"], "the connection must work")
    expect(len(served.journal.peers) == 1, "open is called once for a connection")
    return served.journal.peers[0]


def _listens(served: Served) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(served.address) == 0


def _option_of_other_end(connected: socket.socket) -> int | None:
    """Return TCP_NODELAY of this process's other end of a connection; None when it cannot be found."""
    if not Path("/dev/fd").is_dir():
        return None
    ends = (connected.getpeername(), connected.getsockname())
    for path in list(Path("/dev/fd").iterdir()):  # all at once: what is opened below is not to be looked at
        other = _socket_of(int(path.name))
        if other is None:
            continue
        with other, suppress(OSError, ValueError):  # not connected
            if (other.getsockname(), other.getpeername()) == ends:
                return other.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    return None


def _socket_of(descriptor: int) -> socket.socket | None:
    """Return another socket object for a descriptor; None when it is none, or was closed meanwhile."""
    try:
        copy = os.dup(descriptor)
    except OSError:
        return None
    try:
        return socket.socket(fileno=copy)
    except (OSError, ValueError):
        os.close(copy)
        return None


CHECKS: Final = (
    tells_a_tcp_peer,
    tells_a_unix_peer,
    tells_a_tls_peer,
    tells_a_tls_peer_without_certificate,
    takes_no_stranger_for_local,
    sends_small_answers_at_once,
)
