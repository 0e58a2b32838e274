"""RPyC services on the asyncio core: what may take its time does so in workers, the end of a connection included."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from anycore.cores.asyncio import AsyncioCore
from anycore.cores.base import CoreLimits, Listener
from anycore.kernel.call import Peer
from anycore.objects.link import NoLink
from anycore.rpyc.connecting import connect
from anycore.rpyc.listening import serve_root
from anycore.rpyc.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator


class Slow(Service):
    """Takes its time when a connection ends.

    Attributes:
        leaving: Somebody's connection has ended.
        free: It may be forgotten.
        told: In which threads this was told of an end.
    """

    def __init__(self) -> None:
        self.leaving = threading.Event()
        self.free = threading.Event()
        self.told: list[str] = []

    def on_disconnect(self, conn: Any) -> None:
        self.leaving.set()
        assert self.free.wait(20)
        self.told.append(threading.current_thread().name)

    def exposed_add(self, a: int, b: int) -> int:
        return a + b


@contextmanager
def serving(service: Slow) -> Iterator[tuple[AsyncioCore, int, threading.Thread]]:
    bound = socket.create_server(("127.0.0.1", 0))
    core = AsyncioCore([Listener(bound, lambda peer: serve_root(peer, service), "test")], CoreLimits(linger_time=1))
    started = threading.Event()
    thread = threading.Thread(target=core.run, args=(started.set,), name="test-core", daemon=True)
    thread.start()
    try:
        assert started.wait(10)
        yield core, bound.getsockname()[1], thread
    finally:
        service.free.set()
        core.stop()
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.parametrize("how", ["goodbye", "lost"])
def test_a_service_that_takes_its_time_over_an_end_holds_up_nobody(how: str) -> None:
    service = Slow()
    with serving(service) as (_, port, _):
        first, second = connect("127.0.0.1", port), connect("127.0.0.1", port)
        with second:
            assert first.root.add(1, 2) == 3
            if how == "goodbye":
                first.close()
            else:
                first.link.close()
            assert service.leaving.wait(10)
            assert second.root.add(3, 4) == 7
            service.free.set()
    assert len(service.told) == 2
    assert all(name.startswith("anycore-worker") for name in service.told)


def test_a_core_that_stops_waits_until_the_service_was_told() -> None:
    service = Slow()
    with serving(service) as (core, port, thread):
        conn = connect("127.0.0.1", port)
        assert conn.root.add(1, 2) == 3
        core.stop()
        assert service.leaving.wait(10)
        conn.close()
        thread.join(0.3)
        assert thread.is_alive()
        service.free.set()
        thread.join(10)
        assert len(service.told) == 1


class Idle(Service):
    def on_connect(self, conn: Any) -> None: ...

    def on_disconnect(self, conn: Any) -> None:
        """Nothing."""


class Busy(Service):
    def on_connect(self, conn: Any) -> Any:
        return 1

    def on_disconnect(self, conn: Any) -> Any:
        """Return what it got."""
        return conn


@pytest.mark.parametrize(("service", "jobs"), [(Service(), 0), (Idle(), 0), (Busy(), 1), (Slow(), 0)])
def test_hooks_of_a_service_that_do_nothing_cost_no_job(service: Service, jobs: int) -> None:
    conversation = serve_root(Peer(), service)
    assert len(conversation.begin(NoLink())) == jobs
    assert (conversation.connection.on_end is None) == (type(service) in (Service, Idle))
