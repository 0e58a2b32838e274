"""How the log looks."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Literal

import pytest

from anycore.server.logs import configure
from anycore.settings.tables import LogSettings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def log(settings: LogSettings, stream: io.StringIO) -> str:
    configure(settings, stream)
    logger = logging.getLogger("anycore.test")
    logger.debug("below the level")
    try:
        raise ValueError("broken\x1b[2J")
    except ValueError:
        logger.exception("a %s failed\nforged \x1b[31mline", "call")
    return stream.getvalue()


def test_elsewhere_each_record_is_one_line_of_json() -> None:
    (line,) = log(LogSettings(), io.StringIO()).splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found.pop("exception").startswith("Traceback")
    assert found == {"level": "error", "logger": "anycore.test", "message": "a call failed\nforged \x1b[31mline"}


def test_on_a_terminal_it_is_pretty_and_nothing_in_it_steers_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    first, *rest = log(LogSettings(), Terminal()).splitlines()
    assert first.endswith(" ERROR    anycore.test: a call failed")
    assert rest[0] == "    forged \\x1b[31mline"
    assert rest[-1] == "    ValueError: broken\\x1b[2J"
    assert all(line.startswith("    ") for line in rest)


def test_colour_is_for_terminals_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[31mERROR   \x1b[0m" in log(LogSettings(), Terminal())
    assert "\x1b" not in log(LogSettings(format="pretty"), io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in log(LogSettings(), Terminal())


def test_the_format_can_be_chosen() -> None:
    assert log(LogSettings(format="json"), Terminal()).startswith("{")
    assert not log(LogSettings(format="pretty"), io.StringIO()).startswith("{")


def test_the_level_is_kept_and_a_second_set_up_takes_the_place_of_the_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    assert "below the level" not in log(LogSettings(), first)
    length = len(first.getvalue())
    assert "below the level" in log(LogSettings(level="debug"), second)
    assert len(first.getvalue()) == length


def test_warnings_go_to_the_log() -> None:
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure(LogSettings(), stream)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert "old" in stream.getvalue()


@pytest.mark.parametrize("kind", ["json", "pretty"])
def test_records_of_forked_processes_have_their_number(kind: Literal["json", "pretty"]) -> None:
    stream = io.StringIO()
    configure(LogSettings(format=kind), stream)
    log = logging.getLogger("anycore.test")
    log.handle(record := log.makeRecord(log.name, logging.INFO, "", 0, "from a child", (), None))
    record.process = 12345678
    log.handle(record)
    mine, child = stream.getvalue().splitlines()
    assert "12345678" not in mine
    assert ('"process": 12345678' if kind == "json" else "anycore.test[12345678]: from a child") in child
