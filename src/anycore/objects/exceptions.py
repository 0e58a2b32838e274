"""Exceptions on the wire: what is sent of one, and what is raised of what was received (spec/rpyc.md section 9)."""

from __future__ import annotations

import builtins
import sys
import traceback
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from anycore.wire.brine import dumpable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STOP_ITERATION: Final = 1
VERSION: Final = "6.0.2"
"""The version of the protocol that we speak, as the peer wants to hear it: it warns people when the first number is not its own."""
_DENIED_VERSION: Final = "<version denied>"
_DENIED_TRACEBACK: Final = "<traceback denied>"
_RULE: Final = "========= Remote Traceback ({}) ========="
_MAX_TEXT: Final = 100_000
_MAX_CLASSES: Final = 10_000


class GenericException(Exception):  # noqa: N818 - RPyC's name for it
    """An exception of the peer whose class is not known here; its subclasses are named as the peer names theirs."""


def dump(error: BaseException, config: Mapping[str, Any]) -> Any:
    """Return what is sent of an exception.

    Args:
        error: The exception, with its traceback.
        config: The connection's configuration: what the peer may see.
    """
    cls = type(error)
    if cls is StopIteration:
        return STOP_ITERATION
    trace = "".join(traceback.format_exception(error)) if config["include_local_traceback"] else _DENIED_TRACEBACK
    attributes = [(name, _sendable(value)) for name in dir(error) if _wanted(name) for value in _read(error, name)]
    attributes.append(("_remote_version", VERSION if config["include_local_version"] else _DENIED_VERSION))
    args = tuple(_sendable(arg) for arg in error.args)
    return ((cls.__module__, cls.__name__), args, tuple(attributes), trace[-_MAX_TEXT:])


def _wanted(name: str) -> bool:
    return not name.startswith("_") and name not in ("args", "with_traceback", "add_note")


def _read(error: BaseException, name: str) -> tuple[Any, ...]:
    try:
        return (getattr(error, name),)
    except AttributeError:
        return ()


def _sendable(value: Any) -> Any:
    return value if dumpable(value) else repr(value)


class ExceptionLoader:
    """Makes exceptions of what the peer sent.

    Args:
        config: The connection's configuration: which classes may be used.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._lock = Lock()
        self._classes: dict[tuple[str, str], type[BaseException]] = {}

    def load(self, sent: Any) -> BaseException:
        """Return an exception to raise, its text ending in the peer's traceback.

        Args:
            sent: What the peer sent; anything at all.
        """
        if sent == STOP_ITERATION and type(sent) is int:
            return StopIteration()
        if isinstance(sent, str):
            return GenericException(sent)
        try:
            (module, name), args, attributes, trace = sent
            pairs = [(str(key), value) for key, value in attributes]
            arguments = tuple(args)
        except (TypeError, ValueError):
            return GenericException(f"the peer reported an error in a form that is not understood: {sent!r:.200}")
        error = _instance(self._class(str(module), str(name)), arguments)
        for key, value in pairs:
            if not key.startswith("__") and key not in ("args", "with_traceback", "add_note"):
                _assign(error, key, value)
        _assign(error, "_remote_tb", trace if isinstance(trace, str) else repr(trace))
        return error

    def _class(self, module: str, name: str) -> type[BaseException]:
        with self._lock:
            found = self._classes.get((module, name))
            if found is None:
                if len(self._classes) >= _MAX_CLASSES:
                    self._classes.clear()
                found = self._classes[module, name] = _derive(self._base(module, name))
            return found

    def _base(self, module: str, name: str) -> type[BaseException]:
        config = self._config
        found: Any = None
        if module in ("builtins", "exceptions"):
            found = getattr(builtins, name, None)
        elif config["instantiate_custom_exceptions"]:
            if config["import_custom_exceptions"] and module not in sys.modules:
                try:
                    import_module(module)
                except Exception:  # noqa: BLE001 - the peer named it; that it cannot be had here is no error of ours
                    found = None
            found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type) and issubclass(found, BaseException):
            return found
        return type(f"{module}.{name}", (GenericException,), {"__module__": f"rpyc.core.vinegar/{module}"})


def _derive(base: type[BaseException]) -> type[BaseException]:
    """Return a class of the same name whose text ends in the peer's traceback."""

    def told(plain: Callable[[BaseException], str]) -> Callable[[BaseException], str]:
        def tell(self: BaseException) -> str:
            try:
                text = plain(self)
            except Exception:  # noqa: BLE001 - made without its constructor, it may lack what its text needs
                text = f"<{type(self).__name__}>"
            trace = getattr(self, "_remote_tb", "")
            warning = _version_warning(getattr(self, "_remote_version", _DENIED_VERSION))
            number = trace.count("========= Remote Traceback (") + 1
            return f"{text}\n\n{_RULE.format(number)}\n{trace}{warning}" if trace else text

        return tell

    members = {"__module__": base.__module__, "__str__": told(base.__str__), "__repr__": told(base.__repr__)}
    return type(base.__name__, (base,), members)


def _version_warning(version: Any) -> str:
    if version == _DENIED_VERSION or str(version).partition(".")[0] in ("5", VERSION.partition(".")[0]):
        return ""  # this side speaks both
    return f"\nthe other side speaks version {version} of the protocol, this one {VERSION}"


def _instance(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    try:
        error = cls.__new__(cls)
    except Exception:  # noqa: BLE001 - a class with a demanding __new__ still has something to say
        error = _derive(GenericException)()
    error.args = args
    return error


def _assign(error: BaseException, name: str, value: Any) -> None:
    try:
        setattr(error, name, value)
    except (AttributeError, TypeError, ValueError):
        return  # read-only, or not of a type that it takes: the text of the exception tells it all the same
