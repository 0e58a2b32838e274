"""Debugging is switched while the server runs: over a wire, for the server, the file watching and each plugin."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from anycore.kernel.call import Call
from anycore.kernel.debugging import TOPIC, Debugging
from anycore.kernel.kernel import Kernel
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.registry import verify
from anycore.services.debug import Debug
from anycore.wire.faults import Fault

LOGGERS = ("anycore", "anycore.plugin", "anycore.plugins", "watchfiles", "anycore.plugin.oven", "anycore.plugin.debug")


class Oven(Plugin):
    @exposed
    def heat(self) -> None:
        self.log.debug("heating")
        raise ValueError("too hot")


@pytest.fixture(autouse=True)
def _levels_as_before() -> Iterator[None]:
    levels = [logging.getLogger(name).level for name in LOGGERS]
    yield
    for name, level in zip(LOGGERS, levels, strict=True):
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def kernel() -> Kernel:
    """A kernel with an oven, whose debugging tells nobody but itself."""
    made = Kernel()

    def publish(topic: str, payload: Any) -> None:
        assert topic == TOPIC
        debugging.apply(payload)

    debugging = Debugging(made, publish)
    made.registry.commit([verify(Oven(), "here"), verify(Debug(debugging), "anycore")])
    return made


def call(kernel: Kernel, name: str, *args: Any) -> Any:
    return kernel.handle(Call(name, args)).unwrap()


def test_a_plugin_alone(kernel: Kernel) -> None:
    logging.getLogger().setLevel(logging.WARNING)
    assert call(kernel, "debug.set", True, "oven") is True
    assert call(kernel, "debug.state") == {"core": False, "files": False, "debug": False, "oven": True}
    assert logging.getLogger("anycore.plugin.oven").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("anycore.kernel").isEnabledFor(logging.DEBUG)
    assert call(kernel, "debug.toggle", "oven") is False
    assert not logging.getLogger("anycore.plugin.oven").isEnabledFor(logging.DEBUG)


def test_the_server_alone_and_then_callers_see_tracebacks(kernel: Kernel) -> None:
    logging.getLogger().setLevel(logging.WARNING)
    with pytest.raises(Fault) as without:
        call(kernel, "oven.heat")
    assert call(kernel, "set_core_debug", "TRUE") is True
    assert logging.getLogger("anycore.kernel").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("anycore.plugin.oven").isEnabledFor(logging.DEBUG)
    with pytest.raises(Fault) as debugged:
        call(kernel, "oven.heat")
    assert "Traceback" not in without.value.message
    assert "Traceback" in debugged.value.message
    assert call(kernel, "toggle_core_debug") is False
    assert kernel.debug is False


def test_everything(kernel: Kernel) -> None:
    assert call(kernel, "toggle_debug") is True
    assert set(call(kernel, "debug.state").values()) == {True}
    assert call(kernel, "set_debug", "false") is False
    assert set(call(kernel, "debug.state").values()) == {False}


def test_the_file_watching(kernel: Kernel) -> None:
    assert call(kernel, "set_fam_debug", True) is True
    assert logging.getLogger("watchfiles").level == logging.DEBUG
    assert call(kernel, "toggle_fam_debug") is False
    assert logging.getLogger("watchfiles").level == logging.WARNING


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("maybe",), "debug: expected true or false, got 'maybe'"),
        ((True, "owen"), "there is no 'owen' to debug; there are all, core"),
    ],
)
def test_what_makes_no_sense_is_refused(kernel: Kernel, args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(Fault, match=message):
        call(kernel, "debug.set", *args)
    assert set(call(kernel, "debug.state").values()) == {False}
