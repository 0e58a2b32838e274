"""Where the log goes: files that are rotated, syslog over its socket and over UDP."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from anycore.server.errors import StartupError
from anycore.server.logs import configure
from anycore.settings.tables import LogSettings

log = logging.getLogger("anycore.test")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_file_is_appended_to_and_may_be_rotated(tmp_path: Path) -> None:
    path = tmp_path / "anycore.log"
    path.write_text("before\n")
    configure(LogSettings(file=str(path)))
    log.info("one")
    path.rename(tmp_path / "old.log")
    log.info("two")
    before, one = (tmp_path / "old.log").read_text().splitlines()
    assert (before, json.loads(one)["message"]) == ("before", "one")
    assert json.loads(path.read_text())["message"] == "two"
    configure(LogSettings(file=str(path), format="pretty"))
    log.info("three")
    assert path.read_text().splitlines()[-1].endswith("INFO     anycore.test: three")


@pytest.mark.parametrize("kind", ["unix", "udp"])
def test_syslog_gets_each_record_in_one_datagram(kind: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "log") if kind == "unix" else ("127.0.0.1", 0))
        daemon.settimeout(30)
        address = str(tmp_path / "log") if kind == "unix" else f"udp://127.0.0.1:{daemon.getsockname()[1]}"
        configure(LogSettings(syslog=address, facility="local3", level="info"))
        try:
            raise ValueError("broken\nin two lines")
        except ValueError:
            log.exception("it failed")
        head, _, rest = daemon.recv(65536).decode().partition(": ")
    facility, error = 19, 3
    assert head.startswith(f"<{facility * 8 + error}>anycore[")
    assert json.loads(rest)["message"] == "it failed"
    assert "in two lines" in json.loads(rest)["exception"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (LogSettings(syslog="/nowhere/log"), r"log\.syslog: /nowhere/log: No such file or directory; write the path"),
        (
            LogSettings(syslog="tcp://127.0.0.1:1"),
            r"log\.syslog: tcp://127\.0\.0\.1:1: expected a path or a URL; write",
        ),
        (LogSettings(syslog="udp://127.0.0.1:none"), r"log\.syslog: udp://127\.0\.0\.1:none: "),
        (LogSettings(file="/nowhere/a.log"), r"log\.file: /nowhere/a\.log cannot be written: No such file"),
    ],
)
def test_a_place_that_does_not_exist_is_a_start_up_error(settings: LogSettings, message: str) -> None:
    before = logging.getLogger().handlers[:]
    with pytest.raises(StartupError, match=message):
        configure(settings)
    assert logging.getLogger().handlers == before
