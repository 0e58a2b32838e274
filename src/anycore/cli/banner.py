"""What `anycore serve` says when it is ready: where it listens, what can be called, and a command to try."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from anycore.server.announcement import Announcement

_log = logging.getLogger("anycore.server")
_WIDE = 44
_BUNDLED = "anycore"
"""The origin of what comes with the server."""


class _Console(Console):
    """A console whose reader may go away, which by default ends the process."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def show(announcement: Announcement, stream: TextIO | None = None) -> None:
    """Print what a server says about itself; in colour on a terminal, unless `NO_COLOR` is set.

    Args:
        announcement: What there is to say.
        stream: Where to; standard output when left out.
    """
    console = _Console(file=stream, highlight=False, soft_wrap=True)
    try:
        for line in lines(announcement):
            if console.is_terminal and line.overflow == "ellipsis":
                line.truncate(console.width, overflow="ellipsis")
            console.print(line)
    except OSError as error:
        _log.warning("the banner cannot be printed: %s", error)  # nobody reads it; that is no reason not to serve


def lines(announcement: Announcement) -> Iterator[Text]:
    """Return the lines of the banner.

    Args:
        announcement: What there is to say.
    """
    yield Text.assemble((f"Anycore {announcement.version}", "bold"), f" on the {announcement.core} core")
    yield Text()
    width = max((len(url) for url, _ in announcement.listeners), default=0)
    for url, wires in announcement.listeners:
        yield Text.assemble("  ", (url.ljust(width), "bold cyan"), "  ", ", ".join(wires))
    yield Text()
    yield from plugin_lines([plugin for plugin in announcement.plugins if plugin[1] != _BUNDLED])
    yield from barren_lines(announcement.barren)
    if not announcement.barren and all(origin == _BUNDLED for _, origin, _ in announcement.plugins):
        yield Text("No plugins were named. `anycore new plugin NAME` makes one, `anycore serve NAME.py` serves it.")
        yield Text()
    bundled = {name: len(methods) for name, origin, methods in announcement.plugins if origin == _BUNDLED}
    if bundled:
        come = "comes" if len(bundled) == 1 else "come"
        text = f"  {come} with the server: {sum(bundled.values())} methods; `anycore methods URL` lists all that can be called"
        yield Text.assemble("  ", (", ".join(sorted(bundled)), "bold"), (text, "dim"), overflow="ellipsis")
        yield Text()
    if announcement.sample:
        yield Text("Try it from another terminal:")
        yield Text.assemble("  ", (announcement.sample.replace("anycore", program(), 1), "bold green"))
        yield Text()
    yield Text("Ctrl-C stops it.")


def program() -> str:
    """Return how a person at a shell here starts this program: by its name where the shell finds it, else by its path."""
    started = Path(sys.argv[0])
    if shutil.which("anycore") or started.name != "anycore":
        return "anycore"
    with suppress(ValueError):
        return str(started.resolve().relative_to(Path.cwd()))
    return str(started)


def plugin_lines(plugins: list[tuple[str, str, list[tuple[str, str, str]]]]) -> Iterator[Text]:
    """Return lines that list plugins with their methods.

    Args:
        plugins: As in an `Announcement`.
    """
    for name, origin, methods in plugins:
        yield Text.assemble("  ", (name, "bold"), (f"  from {origin}", "dim"))
        width = min(_WIDE, max((len(method + signature) for method, signature, _ in methods), default=0))
        for method, signature, doc in methods:
            room = " " * (width - len(method + signature)) + "  " if doc else ""
            yield Text.assemble("    ", (method, "cyan"), signature, room, (doc, "dim"), overflow="ellipsis")
        yield Text()


def barren_lines(directories: Sequence[str]) -> Iterator[Text]:
    """Return lines about directories without a plugin.

    Args:
        directories: As in an `Announcement`.
    """
    for directory in directories:
        yield Text(f"There is no plugin in {directory}. `anycore new plugin NAME -d {directory}` makes one.")
    if directories:
        yield Text()
