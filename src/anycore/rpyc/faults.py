"""What a peer's exception says to people: as a fault, as the clients of other wires have it, without the peer's traceback."""

from __future__ import annotations

from typing import Final

from anycore.wire.faults import APPLICATION_ERROR, Fault

_OURS: Final = f"{__name__.partition('.')[0]}."
_TRACEBACK: Final = "\n\n========= Remote Traceback"


def plain(error: BaseException) -> str:
    """Return what an exception says, without the traceback of the server."""
    return str(error).partition(_TRACEBACK)[0].strip()


def fault_of(error: BaseException) -> Fault:
    """Return a fault for an exception that a server raised: the same one if it was a fault there, of whichever kind."""
    name = type(error).__name__
    if name.startswith(_OURS) and name.endswith(Fault.__name__):
        code, message = getattr(error, "code", None), getattr(error, "message", None)
        if type(code) is int and isinstance(message, str):
            return Fault(code, message, getattr(error, "data", None))
    return Fault(APPLICATION_ERROR, f"{name}: {plain(error)}")
