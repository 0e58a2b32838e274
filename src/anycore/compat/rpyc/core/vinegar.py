"""`rpyc.core.vinegar`: exceptions as they travel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anycore.objects import exceptions
from anycore.objects.exceptions import GenericException

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["GenericException", "dump", "load"]


def dump(
    typ: type[BaseException],
    val: BaseException | None,
    tb: TracebackType | None,
    include_local_traceback: bool,
    include_local_version: bool,
) -> Any:
    """Return what is sent of an exception: something that brine can carry.

    Args:
        typ: Its class.
        val: The exception; one of the class when it is `None`.
        tb: Its traceback.
        include_local_traceback: Whether the other side gets the traceback.
        include_local_version: Whether the other side gets the version.
    """
    error = (val if val is not None else typ()).with_traceback(tb)
    shown = {"include_local_traceback": include_local_traceback, "include_local_version": include_local_version}
    return exceptions.dump(error, shown)


def load(
    val: Any,
    import_custom_exceptions: bool,
    instantiate_custom_exceptions: bool,
    instantiate_oldstyle_exceptions: bool,  # noqa: ARG001 - of Python 2; accepted as by RPyC
) -> BaseException:
    """Return an exception to raise for what the other side sent of one.

    Args:
        val: What it sent.
        import_custom_exceptions: Whether to import the module that its class is in.
        instantiate_custom_exceptions: Whether classes other than built-in ones may be used.
        instantiate_oldstyle_exceptions: No effect.
    """
    config = {
        "import_custom_exceptions": import_custom_exceptions,
        "instantiate_custom_exceptions": instantiate_custom_exceptions,
    }
    return exceptions.ExceptionLoader(config).load(val)
