"""Debugging, switched on and off while the server runs: of the server, of the watching of files, of each plugin."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from anycore.wire.faults import INVALID_PARAMS, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycore.kernel.kernel import Kernel

TOPIC: Final = "debug"
"""On which the processes of a server tell each other."""
ALL: Final = "all"
CORE: Final = "core"
FILES: Final = "files"

_log = logging.getLogger("anycore.debug")
_SERVER: Final = "anycore"
_PLUGINS: Final = "anycore.plugin"
_WATCHERS: Final = ("anycore.plugins", "watchfiles")


class Debugging:
    """What is debugged: its messages of level `debug` are logged, and of the server, callers get the tracebacks of what fails.

    Args:
        kernel: The kernel of this process.
        publish: Says something on a topic to every process of the server, this one included; `apply` is what listens.
    """

    def __init__(self, kernel: Kernel, publish: Callable[[str, Any], None]) -> None:
        self._kernel = kernel
        self._publish = publish
        self._on: set[str] = {CORE} if kernel.debug else set()

    @property
    def parts(self) -> dict[str, bool]:
        """Whether each part is debugged, by name: `core`, `files`, and the plugins."""
        return {part: part in self._on for part in (CORE, FILES, *sorted(self._kernel.registry.entries))}

    def set(self, part: str, *, on: bool) -> None:
        """Switch a part on or off, in every process.

        Args:
            part: `core`, `files`, the name of a plugin, or `all`.
            on: Whether it is to be debugged.

        Raises:
            Fault: There is no such part.
        """
        if part != ALL and part not in self.parts:
            message = f"there is no {part[:100]!r} to debug; there are {', '.join((ALL, *self.parts))}"
            raise Fault(INVALID_PARAMS, message)
        self._publish(TOPIC, [part, on])

    def apply(self, payload: Any) -> None:
        """Switch in this process.

        Args:
            payload: What `set` has published.
        """
        part, on = payload
        wanted = set(self.parts) if part == ALL else {part}
        self._on = self._on | wanted if on else self._on - wanted
        _log.info("debugging of %s is switched %s", part, "on" if on else "off")
        self._kernel.debug = CORE in self._on
        _level(_SERVER, on=CORE in self._on)
        # What is below inherits from above: the plugins have switches of their own.
        logging.getLogger(_PLUGINS).setLevel(logging.getLogger().level if CORE in self._on else logging.NOTSET)
        for name in _WATCHERS:
            _level(name, on=FILES in self._on, off=logging.WARNING if name == "watchfiles" else logging.NOTSET)
        for name in self._kernel.registry.entries:
            _level(f"{_PLUGINS}.{name}", on=name in self._on)


def _level(name: str, *, on: bool, off: int = logging.NOTSET) -> None:
    logging.getLogger(name).setLevel(logging.DEBUG if on else off)
