"""What is said about calls that run on, and about threads that become many. That it is said at all is shown in tests/faults."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from anycore import Plugin, exposed
from anycore.kernel.call import Call
from anycore.kernel.kernel import Kernel
from anycore.kernel.registry import verify
from anycore.server.overdue import Overdue

if TYPE_CHECKING:
    import pytest


class Slow(Plugin):
    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()

    @exposed
    def wait(self) -> None:
        self.entered.set()
        self.go_on.wait(30)


def told(caplog: pytest.LogCaptureFixture, about: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if about in record.getMessage()]


def test_a_call_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    kernel, plugin, overdue = Kernel(), Slow(), Overdue(60.0)
    kernel.registry.commit([verify(plugin, "here")])
    call = Call("slow.wait", deadline=time.monotonic() + 3600)
    thread = threading.Thread(target=kernel.handle, args=(call,))
    thread.start()
    assert plugin.entered.wait(30)
    overdue.look()
    assert not told(caplog, "slow.wait"), "its caller still waits"
    call.deadline = time.monotonic() - 1
    overdue.look()
    overdue.look()
    plugin.go_on.set()
    thread.join(30)
    overdue.look()
    (line,) = told(caplog, "slow.wait")
    assert "after its caller has given up; it is in wait (" in line


def test_threads_are_told_when_there_are_twice_as_many(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    overdue, over = Overdue(0.0), threading.Event()
    threads: list[threading.Thread] = []
    monkeypatch.setattr(
        "anycore.server.overdue.threading.enumerate", lambda: threads
    )  # those of other tests do not count

    def add(count: int) -> None:
        for number in range(count):
            threads.append(threading.Thread(target=over.wait, name=f"leak-{number}", daemon=True))
            threads[-1].start()

    try:
        add(110)
        overdue.look()
        overdue.look()
        assert len(caplog.records) == 1
        assert "'leak-N'" in caplog.records[0].getMessage()
        add(130)
        overdue.look()
        assert len(caplog.records) == 2
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
