"""A method that callers may call: its signature, and the binding of a call's arguments to it.

A `Method` is made once, when its plugin is registered, and holds everything that a call needs, worked out beforehand.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Mapping
from reprlib import Repr
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import astuple

from anycore.kernel.call import Call, Mode
from anycore.kernel.statistics import Statistics
from anycore.wire.faults import INVALID_PARAMS, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_KINDS = {"VAR_POSITIONAL": "rest", "VAR_KEYWORD": "rest_by_name", "KEYWORD_ONLY": "keyword"}
_MODULES = re.compile(r"('[^']*')|\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")
_AT = re.compile(r" - at `\$(?P<path>.*)`$")

_convert = msgspec.convert
_short = Repr()
_short.maxstring = _short.maxother = 60


class SignatureError(Exception):
    """A function whose signature cannot serve callers; the message says why and what to do."""


class Parameter(msgspec.Struct, frozen=True):
    """A parameter as callers see it.

    Args:
        name: Its name.
        annotation: Its type; `Any` where none was given.
        required: Whether a caller must give it.
        default: The default where it is not required.
        kind: `positional`, `keyword` (by name only), `rest` (`*args`) or `rest_by_name` (`**kwargs`).
        positional_only: Whether it cannot be given by name.
    """

    name: str
    annotation: Any = Any
    required: bool = True
    default: Any = None
    kind: str = "positional"
    positional_only: bool = False


class Signature:
    """A method's parameters and result, and the checks that follow from them.

    Args:
        parameters: As callers see them, without `self` and without the one annotated `Call`.
        returns: The result's type; `Any` where none was given.
        call_parameter: The name of the parameter annotated `Call`, or an empty string.
        call_index: How many parameters can be given by position before that one; -1 when it can only be given by name.
    """

    def __init__(
        self, parameters: Sequence[Parameter], returns: Any, call_parameter: str = "", call_index: int = -1
    ) -> None:
        self.parameters = tuple(parameters)
        self.returns = returns
        self.call_parameter = call_parameter
        self.call_index = call_index
        self.positional = tuple(p for p in parameters if p.kind == "positional")
        self.by_name = {p.name: p for p in parameters if p.kind in ("positional", "keyword") and not p.positional_only}
        self.rest = next((p for p in parameters if p.kind == "rest"), None)
        self.rest_by_name = next((p for p in parameters if p.kind == "rest_by_name"), None)
        self.least = sum(p.required for p in self.positional)
        self.required_by_name = tuple(p.name for p in parameters if p.kind == "keyword" and p.required)
        self._rows = tuple(self._row_of(count) for count in range(len(self.positional) + 1))

    def _row_of(self, count: int) -> type[msgspec.Struct] | None:
        """Return the type that `count` positional arguments are converted to; None when there is nothing to check.

        A struct in the form of an array, because msgspec works out what it needs to know of a struct once, and of a tuple
        with every conversion, which takes five times as long.
        """
        wanted = [p.annotation for p in self.positional[:count]]
        if all(annotation is Any for annotation in wanted):
            return None
        return msgspec.defstruct("Row", [(f"a{index}", one) for index, one in enumerate(wanted)], array_like=True)

    @classmethod
    def of(cls, function: Callable[..., Any], types: Mapping[str, Any] | None = None) -> Signature:
        """Read the signature of a bound function.

        Args:
            function: The function, already bound to its plugin.
            types: Declared types by parameter name and `return`; they win over annotations.

        Raises:
            SignatureError: When there is no signature to be had, or an annotation cannot be resolved or checked.
        """
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError) as error:
            message = f"its signature cannot be read ({error}); wrap it in a function with annotated parameters"
            raise SignatureError(message) from error
        hints = {**_hints(function), **(types or {})}
        unknown = sorted(set(types or ()) - {*signature.parameters, "return"})
        if unknown:
            message = f"types are declared for {', '.join(unknown)}, which it has not; remove them or correct the names"
            raise SignatureError(message)
        parameters: list[Parameter] = []
        call_parameter, call_index = "", -1
        for parameter in signature.parameters.values():
            annotation = hints.get(parameter.name, Any)
            if _is_call(annotation):
                _check_call_parameter(parameter, call_parameter)
                call_parameter = parameter.name
                call_index = -1 if parameter.kind is inspect.Parameter.KEYWORD_ONLY else len(parameters)
            else:
                parameters.append(_parameter(parameter, annotation))
        made = cls(parameters, hints.get("return", Any), call_parameter, call_index)
        made._verify()
        return made

    def _verify(self) -> None:
        for parameter in self.parameters:
            try:
                _convert(None, parameter.annotation)
            except msgspec.ValidationError:
                pass  # it can be checked, and None is not one
            except Exception as error:  # a dataclass may name types that do not exist, or convert in code of its own
                message = (
                    f"its parameter {parameter.name!r} is annotated {parameter.annotation!r}, which cannot be checked"
                    f" ({error}); use built-in types, dataclasses, msgspec.Struct, or Any"
                )
                raise SignatureError(message) from error

    def bind(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any] | None
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        """Fit a call's arguments to the parameters and convert them to the annotated types.

        Args:
            name: The method's name, for messages.
            args: Arguments by position.
            kwargs: Arguments by name, or None.

        Returns:
            Arguments by position and by name, ready for the function.

        Raises:
            Fault: With `INVALID_PARAMS`, naming the parameter.
        """
        if not kwargs and not self.required_by_name:
            count = len(args)
            if self.least <= count <= len(self.positional):
                row = self._rows[count]
                if row is None:
                    return args, {}
                try:
                    return astuple(_convert(args, row)), {}
                except msgspec.ValidationError:
                    pass  # the careful way below finds out which parameter it was
        return self._bind_carefully(name, args, dict(kwargs or {}))

    def give_call(self, call: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Sequence[Any]:
        """Put the call into its parameter.

        Args:
            call: The call.
            args: The bound arguments by position.
            kwargs: The bound arguments by name; changed in place where the call goes there.

        Returns:
            The arguments by position.
        """
        index = self.call_index
        if 0 <= index <= len(args):
            return (*args[:index], call, *args[index:])
        kwargs[self.call_parameter] = call
        return args

    def _bind_carefully(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        self._check_counts(name, args, kwargs)
        bound: list[Any] = []
        for index, value in enumerate(args):
            parameter = self.positional[index] if index < len(self.positional) else self.rest
            assert parameter is not None
            bound.append(_convert_one(name, parameter, value))
        named: dict[str, Any] = {}
        for key, value in kwargs.items():
            parameter = self.by_name.get(key, self.rest_by_name)
            assert parameter is not None
            named[key] = _convert_one(name, parameter, value, key)
        return bound, named

    def _check_counts(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if len(args) > len(self.positional) and self.rest is None:
            self._refuse(name, f"{len(args)} arguments were given by position, it takes at most {len(self.positional)}")
        for parameter in self.positional[: len(args)]:
            if parameter.name in kwargs and not parameter.positional_only:
                self._refuse(name, f"parameter {parameter.name!r} was given by position and by name")
        for key in kwargs:
            if key not in self.by_name and (self.rest_by_name is None or key == self.call_parameter):
                known = ", ".join(self.by_name) or "none"
                self._refuse(name, f"there is no parameter {key!r}; those that can be given by name: {known}")
        wanted = [p for p in self.positional[len(args) :] if p.required]
        missing = [p.name for p in wanted if p.positional_only or p.name not in kwargs]
        missing += [key for key in self.required_by_name if key not in kwargs]
        if missing:
            self._refuse(name, f"parameter{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))} missing")

    def _refuse(self, name: str, reason: str) -> typing.NoReturn:
        raise Fault(INVALID_PARAMS, f"{name}: {reason}; call it as {name}{self}")

    def __str__(self) -> str:
        parts: list[str] = []
        only = sum(p.positional_only for p in self.parameters)
        for index, parameter in enumerate(self.parameters):
            if index == only > 0:
                parts.append("/")
            if parameter.kind == "keyword" and "*" not in parts and self.rest is None:
                parts.append("*")
            star = {"rest": "*", "rest_by_name": "**"}.get(parameter.kind, "")
            label = "" if parameter.annotation is Any else f": {type_name(parameter.annotation)}"
            default = "" if parameter.required or star else f" = {parameter.default!r}"
            parts.append(f"{star}{parameter.name}{label}{default}")
        if only and only == len(self.parameters):
            parts.append("/")
        returns = "" if self.returns is Any else f" -> {type_name(self.returns)}"
        return f"({', '.join(parts)}){returns}"


class Method:
    """A method of a plugin, ready to be called.

    Attributes:
        name: Its full name, `plugin.method`.
        plugin: The plugin's name.
        function: The bound function.
        mode: Where it runs.
        doc: Its docstring, cleaned; empty when there is none.
        signature: Its parameters and result.
        aliases: Further full names.
        statistics: Its counters.
    """

    __slots__ = ("aliases", "call_parameter", "doc", "function", "mode", "name", "plugin", "signature", "statistics")

    def __init__(
        self,
        name: str,
        plugin: str,
        function: Callable[..., Any],
        *,
        quick: bool = False,
        aliases: tuple[str, ...] = (),
        types: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.plugin = plugin
        self.function = function
        self.aliases = aliases
        self.mode = Mode.ASYNC if inspect.iscoroutinefunction(function) else Mode.QUICK if quick else Mode.BLOCKING
        self.doc = inspect.getdoc(function) or ""
        self.signature = Signature.of(function, types)
        self.call_parameter = self.signature.call_parameter
        self.statistics = Statistics()

    def __repr__(self) -> str:
        return f"<Method {self.name}{self.signature}>"


def type_name(annotation: Any) -> str:
    """Return a type as people write it: `int`, `list[str]`, `int | None`."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__ if annotation is not type(None) else "None"
    return _MODULES.sub(lambda found: found[1] or "", str(annotation)).replace("NoneType", "None")


def _is_call(annotation: Any) -> bool:
    """Tell whether a parameter is for the call: `Call`, also if it is optional. Callers must never be able to give one."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return any(part is Call for part in typing.get_args(annotation))
    return annotation is Call


def _check_call_parameter(parameter: inspect.Parameter, other: str) -> None:
    if other:
        message = f"its parameters {other!r} and {parameter.name!r} are both annotated Call; keep one of them"
        raise SignatureError(message)
    if parameter.kind in _VARIADIC or parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        message = (
            f"its parameter {parameter.name!r}, annotated Call, must be an ordinary one; remove the star or the slash"
        )
        raise SignatureError(message)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as error:  # an annotation is an arbitrary expression
        message = f"an annotation cannot be resolved ({error}); import the name it uses, or correct it"
        raise SignatureError(message) from error


def _parameter(parameter: inspect.Parameter, annotation: Any) -> Parameter:
    kind = _KINDS.get(parameter.kind.name, "positional")
    required = parameter.default is inspect.Parameter.empty and parameter.kind not in _VARIADIC
    default = None if parameter.default is inspect.Parameter.empty else parameter.default
    only = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
    return Parameter(parameter.name, annotation, required, default, kind, only)


def _convert_one(name: str, parameter: Parameter, value: Any, key: str = "") -> Any:
    try:
        # Both wires know names as keys only, so the keys of a dict[int, ...] come as text.
        return _convert(value, parameter.annotation, str_keys=True)
    except msgspec.ValidationError as error:
        text = str(error)
        at = _AT.search(text)
        where = f"{key or parameter.name}{at['path'] if at else ''}"
        said = _AT.sub("", text)
        said = said[:1].lower() + said[1:]
        raise Fault(INVALID_PARAMS, f"{name}: parameter {where!r}: {said}; it was given {_short.repr(value)}") from None
