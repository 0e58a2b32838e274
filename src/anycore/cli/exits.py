"""The exit codes of `anycore`: one table, for the code, the help and the reference."""

from __future__ import annotations

import enum
from typing import Final


class Exit(enum.IntEnum):
    """How a command ended."""

    OK = 0
    FAULT = 1
    USAGE = 2
    CONFIGURATION = 3
    TRANSPORT = 4
    STARTUP = 5
    BUG = 70
    INTERRUPTED = 130


MEANINGS: Final[dict[Exit, str]] = {
    Exit.OK: "all went well; a server that was told to stop has stopped",
    Exit.FAULT: "the server answered the call with a fault, or acl answered no",
    Exit.USAGE: "the command line makes no sense",
    Exit.CONFIGURATION: "a setting is wrong, be it of the file, the environment or an option",
    Exit.TRANSPORT: "no answer could be had: no connection, no time left, no such wire",
    Exit.STARTUP: "the server could not start: address in use, plugin refused",
    Exit.BUG: "something went wrong inside of Anycore; --debug shows where",
    Exit.INTERRUPTED: "interrupted with Ctrl-C",
}
