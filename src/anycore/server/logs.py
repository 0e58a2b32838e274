"""How log records look, and the set-up of the standard library's logging by the settings. Who logs what lives with who logs."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

from anycore.settings.tables import LogSettings

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
        text = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text).replace("\n", "\n    ")
        return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03} {level} {text}"


class _Handler(logging.StreamHandler[TextIO]):
    """Our handler, so that a second set-up replaces it and nobody else's."""


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send the log of the whole process to a stream. May be called again, with other settings.

    Args:
        settings: Level and format.
        stream: Where to; standard error when left out.
    """
    stream = sys.stderr if stream is None else stream
    handler = _Handler(stream)
    pretty = settings.format == "pretty" or (settings.format == "auto" and stream.isatty())
    handler.setFormatter(PrettyFormatter(colour=coloured(stream)) if pretty else JsonFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it counts changes; what came of them, we say ourselves
    logging.captureWarnings(capture=True)


def coloured(stream: TextIO) -> bool:
    """Tell whether a stream shows colours: a terminal, unless `NO_COLOR` (no-color.org) or `TERM=dumb` is set.

    Args:
        stream: The stream.
    """
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
