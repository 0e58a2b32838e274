"""RPyC's peers that say nothing, or half of something: each core sends them away when their time is over, and nobody else."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from anycore.cores import load_core
from anycore.cores.base import CoreLimits, Listener
from anycore.cores.probing import probe
from anycore.kernel.incidents import Incidents
from anycore.rpyc.connecting import connect
from anycore.rpyc.listening import serve_root
from anycore.testing.certificate import client_context, server_context
from anycore.wire import rpyc_constants as wire
from anycore.wire.rpyc import MessageCodec

if TYPE_CHECKING:
    from collections.abc import Iterator

CORES = ["threaded", "asyncio", "pool"]
PING = MessageCodec(6, bind_threads=False).encode_request(0, wire.PING, (wire.VALUE, ("hello",)))


class Root:
    """Something to call."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.free = threading.Event()

    def exposed_wait(self) -> str:
        self.entered.set()
        assert self.free.wait(60)
        return "free"

    def exposed_add(self, a: int, b: int) -> int:
        return a + b


@contextlib.contextmanager
def serving(
    core: str, root: Any, *, idle_time: float = 0.0, receive_time: float = 60.0, tls: Any = None
) -> Iterator[tuple[int, Incidents]]:
    bound, incidents = socket.create_server(("127.0.0.1", 0)), Incidents()
    limits = CoreLimits(receive_time=receive_time, linger_time=1, idle_time=0.1)  # the latter is that of other wires
    made = load_core(core)(
        [Listener(bound, lambda peer: serve_root(peer, root, idle_time=idle_time, incidents=incidents), tls=tls)],
        limits,
    )
    started = threading.Event()
    thread = threading.Thread(target=made.run, args=(started.set,), daemon=True)
    thread.start()
    try:
        assert started.wait(60)
        yield bound.getsockname()[1], incidents
    finally:
        made.stop()
        thread.join(60)
        assert not thread.is_alive()


def ends(raw: socket.socket) -> bool:
    """Wait until the server closes; what it has said before does not matter."""
    raw.settimeout(60)
    with contextlib.suppress(ConnectionError):
        while raw.recv(1000):
            pass
    return True


@pytest.mark.parametrize("core", CORES)
def test_who_says_nothing_is_sent_away_where_that_is_asked_for(core: str) -> None:
    with serving(core, Root(), idle_time=0.3) as (port, incidents):
        with socket.create_connection(("127.0.0.1", port)) as silent:
            assert ends(silent)
        with socket.create_connection(("127.0.0.1", port)) as silent_later:
            silent_later.sendall(PING)
            assert ends(silent_later)
        assert incidents.counts() == {"rpyc": 2}


@pytest.mark.parametrize("core", CORES)
def test_who_waits_for_an_answer_is_not_silent(core: str) -> None:
    root = Root()
    with serving(core, root, idle_time=0.2) as (port, incidents), connect("127.0.0.1", port) as conn:
        result = conn.async_request(wire.CALLATTR, conn.root, "wait", (), ())
        assert root.entered.wait(60)
        with socket.create_connection(("127.0.0.1", port)) as silent:
            assert ends(silent)  # so that as much time is over as the other one has
        root.free.set()
        assert result.value == "free"
        assert incidents.counts() == {"rpyc": 1}


@pytest.mark.parametrize("core", CORES)
def test_silence_may_last_where_nothing_is_said_about_it(core: str) -> None:
    with serving(core, Root(), receive_time=0.2) as (port, incidents), connect("127.0.0.1", port) as conn:
        assert conn.root.add(1, 2) == 3
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(PING[:7])
            assert ends(slow)
        assert conn.root.add(3, 4) == 7
        assert incidents.counts() == {"rpyc": 1}


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("tls", [False, True])
def test_half_a_message_is_not_waited_for_longer_than_it_may_take(core: str, tls: bool) -> None:
    context = server_context() if tls else None
    with serving(core, Root(), receive_time=0.3, tls=context) as (port, incidents):
        raw = socket.create_connection(("127.0.0.1", port))
        with client_context().wrap_socket(raw, server_hostname="localhost") if tls else raw as slow:
            slow.sendall(PING)
            slow.sendall(b"\0\0\1\0\0")
            slow.settimeout(0.02)
            with contextlib.suppress(OSError):  # until it is sent away, though it goes on and on
                for _ in range(2000):
                    slow.sendall(b"\0")
                    with contextlib.suppress(TimeoutError):
                        if slow.recv(1000) == b"":
                            break
                else:
                    raise AssertionError("a peer that sends byte by byte was not sent away")
        assert incidents.counts() == {"rpyc": 1}


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system does not tell")
def test_the_system_looks_after_those_who_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        probe(bound, 7)
        with socket.create_connection(bound.getsockname()), bound.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7
            probe(accepted, 0)
            assert not accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    with pytest.raises(ValueError, match="keepalive is -1 s"):
        probe(bound, -1)
    here, there = socket.socketpair()
    with here, there:
        probe(here, 5)
        assert not here.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
