"""The log of a server: what it looks like, where it goes. Who logs what lives with who logs.

`formatters`: how records look. `handlers`: where they go. `access`: a line for each call. `performance`: the figures, from time to time.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

from anycore.server.logs.formatters import JsonFormatter, PrettyFormatter, coloured
from anycore.server.logs.handlers import mark, ours, rotated, syslog

if TYPE_CHECKING:
    from anycore.settings.tables import LogSettings

__all__ = ["configure"]


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send the log of the whole process where the settings say. May be called again, with other settings.

    Args:
        settings: What is logged, how and where.
        stream: Where to, if not into a file; standard error when left out.

    Raises:
        StartupError: The file cannot be written, or there is no syslog at that address.
    """
    stream = sys.stderr if stream is None else stream
    if settings.file:
        handler = rotated(settings.file)
        pretty = settings.format == "pretty"
        colour = False
    else:
        handler = logging.StreamHandler(stream)
        pretty = settings.format == "pretty" or (settings.format == "auto" and stream.isatty())
        colour = coloured(stream)
    handler.setFormatter(PrettyFormatter(colour=colour) if pretty else JsonFormatter())
    handlers = [mark(handler)]
    if settings.syslog:
        handlers.append(syslog(settings.syslog, settings.facility))
    root = logging.getLogger()
    for old in [old for old in root.handlers if ours(old)]:
        root.removeHandler(old)
        old.close()  # which leaves the stream of a StreamHandler open
    for new in handlers:
        root.addHandler(new)
    root.setLevel(settings.level.upper())
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it counts changes; what came of them, we say ourselves
    logging.captureWarnings(capture=True)
