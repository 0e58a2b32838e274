"""The conformance kit of plugins: `check_plugin` tells whether a server would take one, and whether every caller could use it.

Run it on yours. It needs no network and no test framework: it raises AssertionError, with a sentence for what is wrong.

    from anycore.testing import check_plugin

    def test_thermostat() -> None:
        check_plugin(Thermostat, examples=[("set", [21.5], True), ("mode", [], "heating")])

What it cannot know is what the methods should do: that is what the examples, and your own tests with `connect`, are for.
"""

from __future__ import annotations

import inspect
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from anycore.clients import Fault, LocalProtocolError
from anycore.cores.loop_thread import LoopThread
from anycore.kernel.registry import PluginRefusedError, verify
from anycore.services.openrpc import document
from anycore.services.xmlrpc_types import signature_of
from anycore.testing.memory import connect
from anycore.testing.server import WIRES
from anycore.wire.faults import INVALID_PARAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from anycore.kernel.method import Method, Parameter
    from anycore.kernel.plugin import Plugin
    from anycore.kernel.registry import Entry
    from anycore.testing.memory import MemoryClient

_PATIENCE: Final = 5.0


class Example(NamedTuple):
    """A call and what comes of it. A plain tuple does, too.

    Args:
        method: The method's name, with or without that of the plugin.
        args: Arguments by position.
        expected: The result; compared after both went through the wire's values, so that a tuple equals the list that arrives. A class of
            exceptions derived from `Fault`, or a `Fault`, stands for a call that fails; of a `Fault` the code is compared.
    """

    method: str
    args: Sequence[Any]
    expected: Any


def check_plugin(
    plugin: type[Plugin] | Plugin | Callable[[], Plugin],
    examples: Iterable[tuple[str, Sequence[Any], Any]] = (),
    *,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Check that a server would take a plugin, and that its methods can be called over every wire.

    It is checked, in this order: that the plugin is registered; that each method has documentation, and that its signatures, its help and
    its OpenRPC description can be made; that start and stop work twice in a row and leave no thread behind; that each example gives what is expected over every wire, by position and, where the wire has
    it, by name; and that arguments of wrong type and number are refused with a message that names the parameter.

    Args:
        plugin: The plugin's class, or what makes one. For an instance, further ones are made by calling its class without arguments.
        examples: Calls of it, each `(method, args, expected)`; see `Example`.
        settings: Its table of the configuration.

    Raises:
        AssertionError: With a sentence that says what is wrong, and where.
    """
    make: Callable[[], Plugin] = plugin if callable(plugin) else type(plugin)
    entry = _verified(make(), settings)
    for method in entry.methods:
        _check_description(method)
    _check_life(make, settings)
    calls = [_found(entry, Example(*example)) for example in examples]
    for wire in WIRES:
        with connect(make(), wire=wire, settings={entry.plugin.name: settings} if settings else None) as client:
            for method, example in calls:
                _check_example(client, wire, method, example)
            for method in entry.methods:
                _check_refusals(client, wire, method)


def _verified(plugin: Plugin, settings: Mapping[str, Any] | None) -> Entry:
    try:
        return verify(plugin, "check_plugin", settings)
    except PluginRefusedError as error:
        raise AssertionError(str(error)) from error


def _check_description(method: Method) -> None:
    if not method.doc:
        raise AssertionError(
            f"{method.name} has no documentation; callers read its docstring as its help, so write one"
        )
    try:
        signatures = signature_of(method.signature)
        msgspec.json.encode(document([method], "0"))
    except Exception as error:
        raise AssertionError(
            f"{method.name}{method.signature}: it cannot be described to callers ({type(error).__name__}: {error});"
            " annotate it with built-in types, dataclasses or msgspec.Struct"
        ) from error
    if not signatures:
        raise AssertionError(f"{method.name}{method.signature}: system.methodSignature has nothing to say of it")


def _found(entry: Entry, example: Example) -> tuple[Method, Example]:
    names = {name: method for method in entry.methods for name in (method.name, *method.aliases)}
    method = names.get(f"{entry.plugin.name}.{example.method}") or names.get(example.method)
    if method is None:
        raise AssertionError(
            f"the example {example.method!r} names no method of {entry.plugin.name}; it has: {', '.join(sorted(names))}"
        )
    return method, example


def _check_example(client: MemoryClient, wire: str, method: Method, example: Example) -> None:
    shown = f"{method.name}({', '.join(map(repr, example.args))}) over {wire}"
    _compare(f"{shown}, by position", example.expected, lambda: client.call(method.name, *example.args))
    positional = method.signature.positional
    nameable = len(example.args) <= len(positional) and not any(p.positional_only for p in positional)
    if wire == "jsonrpc" and example.args and nameable:
        named = {parameter.name: value for parameter, value in zip(positional, example.args, strict=False)}
        _compare(f"{shown}, by name", example.expected, lambda: client.call(method.name, **named))


def _compare(shown: str, expected: Any, call: Callable[[], Any]) -> None:
    fails = isinstance(expected, Fault) or (isinstance(expected, type) and issubclass(expected, Fault))
    try:
        result = call()
    except Fault as fault:
        if fails and (isinstance(expected, type) or fault.code == expected.code):
            return
        raise AssertionError(
            f"{shown} failed with fault {fault.code}: {fault.message}; expected {expected!r}"
        ) from fault
    except LocalProtocolError as error:
        raise AssertionError(f"{shown}: the wire cannot carry the arguments: {error}") from error
    if fails or not _equal(result, expected):
        raise AssertionError(f"{shown} gave {result!r}; expected {expected!r}")


def _equal(result: Any, expected: Any) -> bool:
    if result == expected:
        return True
    try:
        return bool(msgspec.convert(result, type(expected), strict=False) == expected)
    except (msgspec.ValidationError, TypeError):
        return bool(msgspec.to_builtins(expected) == result)


def _check_refusals(client: MemoryClient, wire: str, method: Method) -> None:
    """Call with too few, too many, and wrong arguments. None of these calls reaches the method."""
    signature = method.signature
    required = [parameter for parameter in signature.positional if parameter.required]
    if required:
        _expect_refusal(client, wire, method, (), required[0].name)
    if signature.rest is None:
        too_many = [None] * (len(signature.positional) + 1)
        _expect_refusal(client, wire, method, too_many, "")
    for index, parameter in enumerate(signature.positional):
        wrong = _wrong_value(parameter)
        valid = [_right_value(other) for other in signature.positional[:index]]
        if wrong is not None and None not in valid:
            _expect_refusal(client, wire, method, [*valid, wrong], parameter.name)


_SAMPLES: Final[tuple[Any, ...]] = ("text", 1, 1.5, True, [], {}, ["text"], {"key": "text"})


def _wrong_value(parameter: Parameter) -> Any:
    """Return a value that every wire carries and that the parameter's type does not take, or None."""
    return next((sample for sample in _SAMPLES if not _takes(parameter.annotation, sample)), None)


def _right_value(parameter: Parameter) -> Any:
    return next((sample for sample in _SAMPLES if _takes(parameter.annotation, sample)), None)


def _takes(annotation: Any, value: Any) -> bool:
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        return False
    return True


def _expect_refusal(client: MemoryClient, wire: str, method: Method, args: Sequence[Any], parameter: str) -> None:
    shown = f"{method.name}({', '.join(map(repr, args))}) over {wire}"
    try:
        result = client.call(method.name, *args)
    except Fault as fault:
        if fault.code != INVALID_PARAMS:
            raise AssertionError(
                f"{shown} failed with fault {fault.code}: {fault.message}; wrong arguments must give {INVALID_PARAMS},"
                " so annotate the parameters and let the server refuse them"
            ) from fault
        if parameter not in fault.message:
            raise AssertionError(f"{shown}: the fault does not name {parameter!r}: {fault.message}") from fault
    except LocalProtocolError:
        pass  # this wire has no such value: nobody can send it
    else:
        raise AssertionError(f"{shown} must be refused, and gave {result!r}")


def _check_life(make: Callable[[], Plugin], settings: Mapping[str, Any] | None) -> None:
    loop = LoopThread()
    before = set(threading.enumerate())
    for turn in ("first", "second"):
        with ExitStack() as stack:
            stack.callback(loop.close) if turn == "second" else None
            plugin = _verified(make(), settings).plugin
            for name, step in (("start", plugin.start), ("stop", plugin.stop)):
                _step(f"{plugin.name}: its {name}() of the {turn} instance", step, loop)
    _expect_threads_gone(before)


def _step(shown: str, step: Callable[[], Any], loop: LoopThread) -> None:
    try:
        result = step()
        if inspect.iscoroutine(result):
            loop.run(result, _PATIENCE)
    except Exception as error:
        raise AssertionError(
            f"{shown} raised {type(error).__name__}: {error}; it must be possible to start and stop a plugin again and again,"
            " as a reload does"
        ) from error


def _expect_threads_gone(before: set[threading.Thread]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while left := [thread for thread in threading.enumerate() if thread not in before]:
        if time.monotonic() > deadline:
            names = ", ".join(thread.name for thread in left)
            raise AssertionError(f"threads are left after stop(): {names}; end them there, and wait for them")
        left[0].join(0.05)
