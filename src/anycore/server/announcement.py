"""What a server that has started says about itself. How people see it is the command line's business."""

from __future__ import annotations

import msgspec


class Announcement(msgspec.Struct, frozen=True):
    """What serves, and where.

    Args:
        listeners: For each, its URL with the port that was really bound, and the titles of its wires.
        plugins: For each, its name, its origin, and its methods: full name, signature, first line of the docstring.
        core: The core's name.
        sample: A command that makes a call, to be pasted into a shell on this machine; empty when there is none to offer.
        version: Of Anycore.
        barren: Directories that were named for their plugins and have none.
    """

    listeners: list[tuple[str, tuple[str, ...]]]
    plugins: list[tuple[str, str, list[tuple[str, str, str]]]]
    core: str
    sample: str
    version: str
    barren: tuple[str, ...] = ()
