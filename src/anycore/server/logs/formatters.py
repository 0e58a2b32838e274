"""How log records look: for people, and as JSON."""

from __future__ import annotations

import json
import logging
import os
import re
from datetime import UTC, datetime
from typing import Final, TextIO

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COLOURS: Final = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


class JsonFormatter(logging.Formatter):
    """One JSON object for each record, in one line: time (UTC), level, logger, message, and exception if there is one.

    Records of a process that was forked later, as the forking core does, have its number as well, in `process`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._process = os.getpid()

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON, in ASCII."""
        moment = datetime.fromtimestamp(record.created, UTC)
        fields: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.process != self._process:
            fields["process"] = record.process
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


class PrettyFormatter(logging.Formatter):
    """Records for people: local time, level, logger, message; the lines that follow are indented.

    The logger of a process that was forked later has its number after it, in brackets.

    What a peer sent can neither pretend to be another record nor steer the terminal.

    Args:
        colour: Whether the level is coloured.
    """

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self.colour = colour
        self._process = os.getpid()

    def format(self, record: logging.LogRecord) -> str:
        """Return the record for people."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        level = f"{record.levelname:8}"
        if self.colour:
            level = f"\x1b[{_COLOURS.get(record.levelname, '0')}m{level}\x1b[0m"
        process = f"[{record.process}]" if record.process != self._process else ""
        text = f"{record.name}{process}: {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        text = printable(text).replace("\n", "\n    ")
        return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03} {level} {text}"


def printable(text: str) -> str:
    """Return text whose control characters, but for tabs and line feeds, are spelled out: they could steer a terminal.

    Args:
        text: The text.
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def coloured(stream: TextIO) -> bool:
    """Tell whether a stream shows colours: a terminal, unless `NO_COLOR` (no-color.org) or `TERM=dumb` is set.

    Args:
        stream: The stream.
    """
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
