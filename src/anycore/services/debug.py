"""The `debug` plugin: switches debugging on and off while the server runs; under the names that Bcfg2's administrators know as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anycore.kernel.debugging import ALL, CORE, FILES
from anycore.kernel.plugin import Plugin, exposed
from anycore.wire.faults import INVALID_PARAMS, Fault

if TYPE_CHECKING:
    from anycore.kernel.debugging import Debugging


class Debug(Plugin):
    """Debugging: what is logged in detail, and whether callers see tracebacks. A part is `core`, `files`, a plugin, or `all`.

    Args:
        debugging: The switches.
    """

    def __init__(self, debugging: Debugging) -> None:
        self._debugging = debugging

    @exposed
    def state(self) -> dict[str, bool]:
        """Return whether each part is debugged."""
        return self._debugging.parts

    @exposed(aliases=("set_debug",))
    def set(self, debug: bool | str, part: str = ALL) -> bool:
        """Switch debugging of a part on or off; return whether it is on now. "true" and "false" will do as well."""
        return self._switch(part, on=_truth(debug))

    @exposed(aliases=("toggle_debug",))
    def toggle(self, part: str = ALL) -> bool:
        """Switch debugging of a part over; return whether it is on now. All parts become what the server is not."""
        return self._switch(part, on=not self._debugging.parts.get(CORE if part == ALL else part, False))

    @exposed(aliases=("set_core_debug",))
    def set_core(self, debug: bool | str) -> bool:
        """Switch debugging of the server on or off; return whether it is on now."""
        return self._switch(CORE, on=_truth(debug))

    @exposed(aliases=("toggle_core_debug",))
    def toggle_core(self) -> bool:
        """Switch debugging of the server over; return whether it is on now."""
        return self.toggle(CORE)

    @exposed(aliases=("set_fam_debug",))
    def set_files(self, debug: bool | str) -> bool:
        """Switch debugging of the watching of files on or off; return whether it is on now."""
        return self._switch(FILES, on=_truth(debug))

    @exposed(aliases=("toggle_fam_debug",))
    def toggle_files(self) -> bool:
        """Switch debugging of the watching of files over; return whether it is on now."""
        return self.toggle(FILES)

    def _switch(self, part: str, *, on: bool) -> bool:
        self._debugging.set(part, on=on)
        return on


def _truth(value: bool | str) -> bool:
    if isinstance(value, bool):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    message = f"debug: expected true or false, got {value[:100]!r}"
    raise Fault(INVALID_PARAMS, message)
