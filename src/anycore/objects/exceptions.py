"""Exceptions on the wire: what is sent of one, and what is raised of what was received (spec/rpyc.md section 9)."""

from __future__ import annotations

import builtins
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from anycore.wire.brine import dump as brine_dump
from anycore.wire.brine import dumpable
from anycore.wire.rpyc_constants import DIALECT_5

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STOP_ITERATION: Final = 1
VERSION: Final = "6.0.2"
"""The version of the protocol that we speak, as the peer wants to hear it: it warns people when the first number is not its own."""
VERSION_5: Final = "5.3.1"
_DENIED_VERSION: Final = "<version denied>"
_DENIED_TRACEBACK: Final = "<traceback denied>"
_RULE: Final = "========= Remote Traceback ({}) ========="
_MAX_TEXT: Final = 100_000
_KEPT_UNICODE: Final = frozenset({"args", "with_traceback", "add_note", "encoding", "object", "start", "end", "reason"})
_MAX_CLASSES: Final = 10_000
_KEPT: Final = frozenset({"args", "with_traceback", "add_note"})
"""Attributes that every exception has and that are not sent, or not by themselves, and never set."""


class GenericException(Exception):  # noqa: N818 - RPyC's name for it
    """An exception of the peer whose class is not known here; its subclasses are named as the peer names theirs."""


def dump(error: BaseException, config: Mapping[str, Any], dialect: int | None = None) -> Any:
    """Return what is sent of an exception.

    Args:
        error: The exception, with its traceback.
        config: The connection's configuration: what the peer may see.
        dialect: The peer's, for the version that it wants to hear.
    """
    cls = type(error)
    if cls is StopIteration:
        return STOP_ITERATION
    attributes = [(name, _sendable(value)) for name in _names(error) for value in _read(error, name)]
    version = VERSION_5 if dialect == DIALECT_5 else VERSION
    attributes.append(("_remote_version", version if config["include_local_version"] else _DENIED_VERSION))
    args = tuple([_sendable(arg) for arg in error.args])
    trace = _trace(error) if config["include_local_traceback"] else _DENIED_TRACEBACK
    return ((_text(cls.__module__), _text(cls.__name__)), args, tuple(attributes), trace)


def _names(error: BaseException) -> list[str]:
    try:
        names = dir(error)
    except Exception:  # noqa: BLE001 - the exception's own code, which failed
        return []
    return [_text(name) for name in names if not name.startswith("_") and name not in _KEPT]


def _read(error: BaseException, name: str) -> tuple[Any, ...]:
    try:
        return (getattr(error, name),)
    except Exception:  # noqa: BLE001 - the exception's own code, which failed
        return ()


def _sendable(value: Any) -> Any:
    """Return a value that is known to be encodable: as it is, or in words."""
    if type(value) is not str:
        try:
            if dumpable(value):
                brine_dump(value)
                return value
            value = repr(value)
        except Exception:  # noqa: BLE001 - too long or too deep for the wire, or its repr() failed
            value = f"<{type(value).__name__} that cannot be shown>"
    return _text(value)


def _text(value: Any) -> str:
    text = value if type(value) is str else str(value)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _trace(error: BaseException) -> str:
    try:
        return _text("".join(traceback.format_exception(error)))[-_MAX_TEXT:]
    except Exception:  # noqa: BLE001 - the exception's own code, which failed
        return f"<no traceback: the {type(error).__name__} cannot be shown>"


class ExceptionLoader:
    """Makes exceptions of what the peer sent.

    Args:
        config: The connection's configuration: which classes may be used.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._classes: dict[tuple[str, str, bool], type[BaseException]] = {}

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
        error = _instance(self.class_of(str(module), str(name)), arguments)
        kept = _KEPT_UNICODE if isinstance(error, UnicodeError) else _KEPT
        for key, value in pairs:
            if not key.startswith("__") and key not in kept:
                _assign(error, key, value)
        _assign(error, "_remote_tb", trace if isinstance(trace, str) else repr(trace))
        return error

    def stand_in(self, name: str, text: str) -> BaseException:
        """Return an exception for an object of the peer that is one, as it must be here to be raised.

        Args:
            name: The name pack of its class.
            text: What str() says of it.
        """
        module, _, short = name.rpartition(".")
        return _instance(self._base(module, short), (text,))

    def class_of(self, module: str, name: str) -> type[BaseException]:
        """Return the class to raise for one of the peer's; made once. No lock: of two made at once, one is forgotten."""
        key = (module, name, bool(self._config["instantiate_custom_exceptions"]))
        found = self._classes.get(key)
        if found is None:
            if len(self._classes) >= _MAX_CLASSES:
                self._classes.clear()
            found = self._classes.setdefault(key, _derive(self._base(module, name)))
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
        return _generic(f"{module}.{name}", f"rpyc.core.vinegar/{module}")


def _generic(name: str, module: str) -> type[BaseException]:
    return type(name.replace("\0", "?"), (GenericException,), {"__module__": module})


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
    """Make an exception without running its constructor, which may want what the peer did not send."""
    if issubclass(cls, UnicodeError):
        return _unicode_error(cls, args)
    try:
        error = cls.__new__(cls)
    except Exception:  # noqa: BLE001 - a class whose __new__ wants arguments as well
        error = _demanding(cls, args)
    error.args = args
    return error


def _demanding(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    if issubclass(cls, BaseExceptionGroup):  # its members went by their text
        members = [GenericException(str(arg)) for arg in args[1:]] or [GenericException("not sent")]
        return cls.__new__(cls, str(args[0]) if args else "", members)
    try:
        return cls.__new__(cls, *args)
    except Exception:  # noqa: BLE001 - it cannot be had, but it still has something to say
        return _derive(_generic(f"{cls.__module__}.{cls.__name__}", cls.__module__))()


def _unicode_error(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """Make an exception whose text Python computes from its attributes without looking at their types or bounds.

    One with attributes that do not fit, which a hostile peer may send, would crash the interpreter.
    """
    kind = next((kind for kind in _UNICODE_PARTS if issubclass(cls, kind)), None)
    error = cls.__new__(cls)
    if kind is None:
        error.args = args
        return error
    types = _UNICODE_PARTS[kind]
    fits = len(args) == len(types) and all(type(part) is wanted for part, wanted in zip(args, types, strict=True))
    if not fits or not 0 <= args[-3] < args[-2] <= len(args[-4]):
        return _derive(_generic(f"{cls.__module__}.{cls.__name__}", cls.__module__))(*args)
    kind.__init__(error, *args)
    return error


_UNICODE_PARTS: Final[dict[type[BaseException], tuple[type, ...]]] = {
    UnicodeDecodeError: (str, bytes, int, int, str),
    UnicodeEncodeError: (str, str, int, int, str),
    UnicodeTranslateError: (str, int, int, str),
}


def _assign(error: BaseException, name: str, value: Any) -> None:
    if isinstance(error, SyntaxError) and type(value) is not _SYNTAX_PARTS.get(name, type(value)) and value is not None:
        return  # showing the traceback would fail
    try:
        if value is None and getattr(error, name, 0) is None:
            return  # OSError tells None that was set from None that was not
        setattr(error, name, value)
    except (AttributeError, TypeError, ValueError):
        return  # read-only, or not of a type that it takes: the text of the exception tells it all the same


_SYNTAX_PARTS: Final[dict[str, type]] = {
    "msg": str, "filename": str, "text": str, "lineno": int, "offset": int, "end_lineno": int, "end_offset": int,
}  # fmt: skip
