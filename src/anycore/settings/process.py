"""What the table `[process]` must fulfil. Whether a user or a directory exists is seen when the server starts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from anycore.settings.keys import of_section
from anycore.settings.origins import default
from anycore.settings.values import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anycore.settings.origins import Origin
    from anycore.settings.tables import Settings

_UMASK: Final = re.compile(r"0?[0-7]{3}\Z")


def check_process(settings: Settings, origins: Mapping[str, Origin], problems: list[str]) -> None:
    """Add what is wrong with the table `[process]` to the problems.

    Args:
        settings: All settings.
        origins: Where each came from, by path.
        problems: What is wrong so far.
    """
    process = settings.process

    def refuse(name: str, reason: str) -> None:
        path = f"process.{name}"
        problems.append(f"{origins.get(path, default(path)).place}: {reason}")

    if process.umask and not _UMASK.match(process.umask):
        cure = origins.get("process.umask", default("")).assign(of_section("process")["umask"], "077")
        refuse("umask", f"expected three octal digits, got {shown(process.umask)}; write e.g. {cure}")
    if process.take_over and not process.control:
        refuse(
            "take_over", "nothing says where the other server is reached; name its control socket with --control FILE"
        )
    if process.daemonize and settings.server.core == "stdio":
        refuse("daemonize", "the core stdio serves the terminal or pipe that it was started with; leave this out")
