"""What threads do, and for which call."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from anycore import Plugin, exposed
from anycore.kernel.call import Call
from anycore.kernel.kernel import Kernel
from anycore.kernel.registry import verify
from anycore.kernel.whereabouts import calls_by_thread, whereabouts

if TYPE_CHECKING:
    from collections.abc import Iterator


class Slow(Plugin):
    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()

    @exposed
    def wait(self) -> None:
        self.entered.set()
        self.go_on.wait(30)


@pytest.fixture
def waiting() -> Iterator[tuple[threading.Thread, Call]]:
    kernel, plugin = Kernel(), Slow()
    kernel.registry.commit([verify(plugin, "here")])
    call = Call("slow.wait")
    thread = threading.Thread(target=kernel.handle, args=(call,))
    thread.start()
    assert plugin.entered.wait(30)
    yield thread, call
    plugin.go_on.set()
    thread.join(30)
    assert not any(one is call for _, one in calls_by_thread())


def test_a_thread_and_its_call_are_found(waiting: tuple[threading.Thread, Call]) -> None:
    thread, call = waiting
    assert [found for found in calls_by_thread() if found[0] == thread.ident] == [(thread.ident, call)]
    assert "in wait" in f"in {whereabouts(thread.ident or 0)}"
    assert "test_whereabouts.py" in whereabouts(thread.ident or 0)


def test_a_thread_that_has_ended_is_nowhere() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert whereabouts(thread.ident or 0) == ""
