"""Functions as values: taken apart into what brine can carry, and put together again (spec/rpyc.md section 20).

Byte code is that of one Python version. A function that comes from another one may raise, do something else, or end the process.
"""

from __future__ import annotations

import builtins
import sys
from importlib import import_module
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final

from anycore.objects.proxy import is_proxy
from anycore.wire.brine import dumpable

if TYPE_CHECKING:
    from collections.abc import Callable

_CODE_MARK: Final = "MAg1c J0hNNzo0hn ZqhuBP17LQk8"
"""What marks a code object among the constants of another."""

_PARTS_3_11: Final = (
    "argcount", "posonlyargcount", "kwonlyargcount", "nlocals", "stacksize", "flags", "code", "consts", "names", "varnames",
    "filename", "name", "qualname", "firstlineno", "linetable", "exceptiontable", "freevars", "cellvars",
)  # fmt: skip
_LAYOUTS: Final[dict[int, tuple[str, ...]]] = {
    len(parts): parts
    for parts in (
        _PARTS_3_11,
        tuple(part for part in _PARTS_3_11 if part not in ("qualname", "exceptiontable")),  # 3.8 to 3.10
        tuple(part for part in _PARTS_3_11 if part not in ("qualname", "exceptiontable", "posonlyargcount")),
    )
}
"""The parts of a code object as they are sent, by how many there are: Python 3.11 and later, 3.8 and later, before."""


def export_function(function: Callable[..., Any]) -> tuple[Any, ...]:
    """Take a function apart.

    Args:
        function: The function. What it refers to besides built-ins it must import itself.

    Returns:
        Name, module, defaults, keyword defaults as pairs, and code: all of it by value.

    Raises:
        TypeError: When it is no Python function, is a closure, or has defaults or constants that do not travel by value.
    """
    if not isinstance(function, FunctionType):
        message = f"only a function written in Python can be teleported, not {function!r}"
        raise TypeError(message)
    name, kwdefaults = function.__name__, function.__kwdefaults__
    if function.__closure__:
        message = f"{name}() uses {', '.join(function.__code__.co_freevars)} of the function around it; pass that as an argument"
        raise TypeError(message)
    pairs = None if kwdefaults is None else tuple(kwdefaults.items())
    for what in (function.__defaults__, pairs):
        if not dumpable(what):
            message = (
                f"the defaults of {name}() must be numbers, text, bytes, None or tuples of such, not {what!r:.100}"
            )
            raise TypeError(message)
    return (name, function.__module__, function.__defaults__, pairs, _export_code(function.__code__))


def _export_code(code: CodeType) -> tuple[Any, ...]:
    parts = {part: getattr(code, f"co_{part}") for part in _PARTS_3_11}
    parts["consts"] = tuple(_export_constant(code.co_name, constant) for constant in code.co_consts)
    return tuple(parts.values())


def _export_constant(name: str, constant: Any) -> Any:
    if isinstance(constant, CodeType):
        return (_CODE_MARK, _export_code(constant))
    if dumpable(constant):
        return constant
    message = f"the constant {constant!r:.100} in {name}() does not travel by value"
    raise TypeError(message)


def import_function(
    exported: tuple[Any, ...], namespace: dict[str, Any] | None = None, define: bool = True
) -> Callable[..., Any]:
    """Put a function together again.

    Args:
        exported: What `export_function` made, here or at a peer with RPyC, of any Python version.
        namespace: Its globals; those of the module that it comes from when left out, or of `__main__` where there is no such module. Of a
            peer's namespace it gets a copy.
        define: Whether it is given its name in the namespace.

    Raises:
        ValueError: When that is no function that was taken apart.
    """
    try:
        name, module, defaults, pairs, code = exported
    except (TypeError, ValueError):
        message = f"a teleported function is a tuple of five items, not {exported!r:.100}"
        raise ValueError(message) from None
    found = _namespace(module) if namespace is None else namespace
    if is_proxy(found):
        found = {key: found[key] for key in list(found)}  # a function's globals must be a real dict
    found.setdefault("__builtins__", builtins)
    made = FunctionType(_import_code(code), found, name, defaults)
    if pairs is not None:
        made.__kwdefaults__ = dict(pairs)
    if define:
        found[name] = made
    return made


def _namespace(module: str | None) -> dict[str, Any]:
    try:
        return vars(import_module(module or "__main__"))
    except ImportError:
        return vars(sys.modules["__main__"])


def _import_code(parts: tuple[Any, ...]) -> CodeType:
    layout = _LAYOUTS.get(len(parts))
    if layout is None:
        message = f"a teleported code object has 15, 16 or 18 parts, not {len(parts)}"
        raise ValueError(message)
    given = dict(zip(layout, parts, strict=True))
    given["consts"] = tuple(_import_constant(constant) for constant in given["consts"])
    missing = {"posonlyargcount": 0, "qualname": given["name"], "exceptiontable": b""}
    return CodeType(*({**missing, **given}[part] for part in _PARTS_3_11))


def _import_constant(constant: Any) -> Any:
    if type(constant) is tuple and len(constant) == 2 and constant[0] == _CODE_MARK:
        return _import_code(constant[1])
    return constant


def teleport_function(
    conn: Any,
    func: Callable[..., Any],
    globals: dict[str, Any] | None = None,  # noqa: A002 - RPyC's name for it
    def_: bool = True,
) -> Callable[..., Any]:
    """Define a function of this side at the other side of a classic connection.

    Args:
        conn: The connection.
        func: The function; see `export_function`.
        globals: A namespace at the other side; the connection's when left out.
        def_: Whether it is given its name there.

    Returns:
        The function, running there.
    """
    there = conn.namespace if globals is None else globals
    made: Callable[..., Any] = conn.modules["rpyc.utils.teleportation"].import_function(
        export_function(func), there, def_
    )
    return made
