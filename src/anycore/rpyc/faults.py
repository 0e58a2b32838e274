"""What a peer's exception says to people: as a fault, as the clients of other wires have it, without the peer's traceback."""

from __future__ import annotations

from typing import Final

from anycore.wire.faults import APPLICATION_ERROR, Fault

_TRACEBACK: Final = "\n\n========= Remote Traceback"


def plain(error: BaseException) -> str:
    """Return what an exception says, without the traceback of the server."""
    return str(error).partition(_TRACEBACK)[0].strip()


def is_fault(error: BaseException) -> bool:
    """Return whether what a server raised was a fault there, be it of a class that a plugin has derived: its fields tell."""
    code, message = getattr(error, "code", None), getattr(error, "message", None)
    return type(code) is int and isinstance(message, str) and hasattr(error, "data")


def fault_of(error: BaseException) -> Fault:
    """Return a fault for an exception that a server raised: with the same fields if it was a fault there."""
    if is_fault(error):
        return Fault(error.code, error.message, error.data)  # type: ignore[attr-defined]
    return Fault(APPLICATION_ERROR, f"{type(error).__name__}: {plain(error)}")
