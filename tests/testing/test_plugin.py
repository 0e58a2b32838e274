"""`check_plugin`: good plugins pass, and each kind of bad one is told what is wrong."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from anycore import Plugin, exposed
from anycore.clients import Fault
from anycore.testing import Example, check_plugin


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Settings(msgspec.Struct):
    factor: int = 1


class Good(Plugin):
    """Does everything right."""

    Settings = Settings

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.over = threading.Event()

    async def start(self) -> None:
        self.thread = threading.Thread(target=self.over.wait)
        self.thread.start()

    def stop(self) -> None:
        self.over.set()
        assert self.thread is not None
        self.thread.join()

    @exposed(quick=True)
    def scale(self, a: int, b: int = 1) -> int:
        """Scale a number."""
        return a * b * self.settings.factor

    @exposed
    async def swap(self, point: Point) -> Point:
        """Swap the coordinates."""
        return Point(point.y, point.x)

    @exposed
    def pair(self, text: str, /) -> tuple[str, int]:
        """Return a text and its length."""
        return text, len(text)

    @exposed(aliases=("count",))
    def total(self, *numbers: float) -> float:
        """Add numbers up."""
        return sum(numbers)

    @exposed
    def anything(self, value: Any, *, deep: bool = False) -> Any:
        """Return what was given."""
        return [value] if deep else value

    @exposed
    def fail(self) -> None:
        """Fail."""
        raise Fault(7, "no")


EXAMPLES = [
    ("scale", [3], 6),
    ("good.scale", [3, 2], 12),
    Example("swap", [{"x": 1, "y": 2}], Point(2, 1)),
    ("pair", ["text"], ("text", 4)),
    ("total", [1.5, 2.0], 3.5),
    ("count", [], 0),
    ("anything", [{"a": [1, "b", None]}], {"a": [1, "b", None]}),
    ("fail", [], Fault),
    ("fail", [], Fault(7, "")),
]


def test_a_good_plugin_passes() -> None:
    check_plugin(Good, EXAMPLES, settings={"factor": 2})
    check_plugin(Good(), settings={"factor": 2})
    check_plugin(lambda: Good())  # noqa: PLW0108 - a maker that is no class


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (("scale", [3], 7), r"good.scale\(3\) over xmlrpc, by position gave 6; expected 7"),
        (("scale", [3], Fault), "gave 6; expected"),
        (("scale", ["x"], 7), "failed with fault -32602"),
        (("fail", [], Fault(8, "")), "failed with fault 7: no; expected"),
        (("lost", [], 0), "'lost' names no method of good; it has: count, good.anything"),
        (("anything", [object()], 0), "the wire cannot carry the arguments"),
    ],
)
def test_a_wrong_example_is_told(example: Any, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_plugin(Good, [example], settings={"factor": 2})


def test_settings_that_a_server_would_refuse_are_told() -> None:
    with pytest.raises(AssertionError, match="unknown key 'size'"):
        check_plugin(Good, settings={"size": 2})


class Exposes(Plugin):
    """The start of plugins that do one thing wrong."""

    @exposed
    def method(self) -> int:
        """Return 1."""
        return 1


class Undocumented(Plugin):
    @exposed
    def method(self) -> int:
        return 1


class Nothing(Plugin):
    """Exposes nothing."""


class PickyByItself(Plugin):
    """Refuses in its own way."""

    @exposed
    def method(self, *rest: Any) -> int:
        """Take two numbers."""
        (one, two) = rest
        return one + two


class NamesDiffer(Plugin):
    """Behaves differently by name."""

    @exposed
    def method(self, a: int = 0, **others: int) -> list[int]:
        """Return what came by position."""
        return [a, *others.values()]


class LeavesThread(Exposes):
    """Leaves a thread."""

    over = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self.over.wait, name="left", daemon=True).start()


class StartsOnce(Exposes):
    """Can be started once in a process."""

    started = threading.Event()

    def start(self) -> None:
        if self.started.is_set():
            raise OSError("address in use")

    def stop(self) -> None:
        self.started.set()


class FailsToStop(Exposes):
    """Cannot stop."""

    def __init__(self) -> None:
        self.starts = 0

    async def stop(self) -> None:
        raise RuntimeError("stuck")


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (Undocumented, "undocumented.method has no documentation"),
        (Nothing, "exposes no method"),
        (StartsOnce, "it must be possible to start and stop a plugin again and again"),
    ],
)
def test_a_bad_plugin_is_told(plugin: type[Plugin], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_plugin(plugin)


def test_a_thread_left_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anycore.testing.plugin._PATIENCE", 0.2)
    try:
        with pytest.raises(AssertionError, match=r"threads are left after stop\(\): left"):
            check_plugin(LeavesThread)
    finally:
        LeavesThread.over.set()


def test_a_failing_stop_is_told() -> None:
    with pytest.raises(AssertionError, match=r"its stop\(\) of the first instance raised RuntimeError: stuck"):
        check_plugin(FailsToStop)


def test_a_method_that_takes_anything_has_only_its_examples() -> None:
    check_plugin(PickyByItself, [("method", [1, 2], 3)])
    with pytest.raises(AssertionError, match="failed with fault"):
        check_plugin(PickyByItself, [("method", [1], 3)])


def test_examples_are_tried_by_name_too() -> None:
    check_plugin(NamesDiffer, [("method", [5], [5])])
