from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional

import msgspec
import pytest

from anycore.kernel.call import Call, Mode
from anycore.kernel.method import Method, Signature, SignatureError, type_name
from anycore.wire.faults import INVALID_PARAMS, Fault


@dataclass
class Room:
    name: str
    doors: list[int]


class Point(msgspec.Struct):
    x: int
    y: int = 0


def bind(function: Callable[..., Any], args: Any = (), kwargs: Mapping[str, Any] | None = None, **types: Any) -> Any:
    """Bind arguments to a function and call it with them."""
    bound, named = Signature.of(function, types or None).bind("a.b", args, kwargs)
    return function(*bound, **named)


def refusal(function: Callable[..., Any], args: Any = (), kwargs: Mapping[str, Any] | None = None) -> str:
    with pytest.raises(Fault) as caught:
        Signature.of(function).bind("a.b", args, kwargs)
    assert caught.value.code == INVALID_PARAMS
    return caught.value.message


def three(a: int, b: str = "b", c: float = 0.5) -> tuple[Any, ...]:
    return a, b, c


def by_name_only(a: int, *, b: int, c: int = 3) -> tuple[int, ...]:
    return a, b, c


def by_position_only(a: int, b: int = 2, /) -> tuple[int, ...]:
    return a, b


def rest(a: int, *more: int) -> tuple[Any, ...]:
    return a, more


def anything(a: int, /, **named: int) -> tuple[Any, ...]:
    return a, named


def untyped(a, b=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    return a, b


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "result"),
    [
        (three, [1], None, (1, "b", 0.5)),
        (three, [1, "x"], {}, (1, "x", 0.5)),
        (three, (1, "x", 2), None, (1, "x", 2.0)),
        (three, (), {"a": 1}, (1, "b", 0.5)),
        (three, [1], {"c": 4}, (1, "b", 4.0)),
        (three, [], {"c": 4, "b": "x", "a": 2}, (2, "x", 4.0)),
        (by_name_only, [1], {"b": 2}, (1, 2, 3)),
        (by_name_only, [], {"a": 1, "b": 2, "c": 5}, (1, 2, 5)),
        (by_position_only, [1], None, (1, 2)),
        (by_position_only, [1, 5], {}, (1, 5)),
        (rest, [1], None, (1, ())),
        (rest, [1, 2, 3], None, (1, (2, 3))),
        (anything, [1], {"x": 2, "a": 3}, (1, {"x": 2, "a": 3})),
        (untyped, [1, [2]], None, (1, [2])),
        (untyped, [], {"a": {"deep": 1}}, ({"deep": 1}, None)),
        (lambda: 5, [], None, 5),
    ],
)
def test_arguments_find_their_parameters(
    function: Callable[..., Any], args: Any, kwargs: Any, result: tuple[Any, ...]
) -> None:
    assert bind(function, args, kwargs) == result


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "message"),
    [
        (three, [], None, "a.b: parameter 'a' missing; call it as a.b(a: int, b: str = 'b', c: float = 0.5) -> tuple[Any, ...]"),
        (three, [1, "x", 2.0, 4], None, "a.b: 4 arguments were given by position, it takes at most 3; call it as a.b("),
        (three, [1], {"a": 2}, "a.b: parameter 'a' was given by position and by name; call it as"),
        (three, [1], {"z": 2}, "a.b: there is no parameter 'z'; those that can be given by name: a, b, c; call it as"),
        (three, ["one"], None, "a.b: parameter 'a': expected `int`, got `str`; it was given 'one'"),
        (three, [True], None, "a.b: parameter 'a': expected `int`, got `bool`; it was given True"),
        (three, [1], {"c": "x"}, "a.b: parameter 'c': expected `float`, got `str`; it was given 'x'"),
        (by_name_only, [1], None, "a.b: parameter 'b' missing; call it as a.b(a: int, *, b: int, c: int = 3)"),
        (by_name_only, [], None, "a.b: parameters 'a', 'b' missing;"),
        (by_name_only, [1, 2], {"b": 2}, "a.b: 2 arguments were given by position, it takes at most 1;"),
        (by_position_only, [], {"a": 1}, "a.b: there is no parameter 'a'; those that can be given by name: none; call it as a.b(a: int, b: int = 2, /)"),
        (anything, [], {"a": 1}, "a.b: parameter 'a' missing; call it as a.b(a: int, /, **named: int)"),
        (rest, [1, 2, "x"], None, "a.b: parameter 'more': expected `int`, got `str`; it was given 'x'"),
        (anything, [1], {"x": "y"}, "a.b: parameter 'x': expected `int`, got `str`; it was given 'y'"),
        (lambda: 5, [1], None, "a.b: 1 arguments were given by position, it takes at most 0; call it as a.b()"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_parameter(function: Callable[..., Any], args: Any, kwargs: Any, message: str) -> None:
    assert refusal(function, args, kwargs).startswith(message)


def typed(annotation: Any) -> Callable[..., Any]:
    def function(value: Any) -> Any:
        return value

    function.__annotations__["value"] = annotation
    return function


@pytest.mark.parametrize(
    ("annotation", "given", "value"),
    [
        (Room, {"name": "a", "doors": [1]}, Room("a", [1])),
        (list[Room], [{"name": "a", "doors": []}], [Room("a", [])]),
        (Point, {"x": 1}, Point(1, 0)),
        (dict[str, Point], {"p": {"x": 1, "y": 2}}, {"p": Point(1, 2)}),
        (dict[int, str], {"7": "x"}, {7: "x"}),
        (dict[int, str], {7: "x"}, {7: "x"}),
        (Literal["on", "off"], "on", "on"),
        (Optional[int], None, None),  # noqa: UP045 - people still write it
        (int | None, 5, 5),
        (int | str, "x", "x"),
        (set[int], [1, 1], {1}),
        (tuple[int, str], [1, "x"], (1, "x")),
        (bytes, "aGk=", b"hi"),
        (bytes, b"hi", b"hi"),
        (dt.datetime, "2024-05-06T07:08:09", dt.datetime(2024, 5, 6, 7, 8, 9)),  # noqa: DTZ001
        (dt.datetime, dt.datetime(2024, 5, 6), dt.datetime(2024, 5, 6)),  # noqa: DTZ001
        (dt.date, "2024-05-06", dt.date(2024, 5, 6)),
        (Annotated[int, msgspec.Meta(ge=3)], 3, 3),
        (float, 2**60, float(2**60)),
        (object, [1], [1]),
    ],
)
@pytest.mark.parametrize("by_name", [False, True])
def test_arguments_are_converted_to_the_annotated_type(annotation: Any, given: Any, value: Any, by_name: bool) -> None:
    found = bind(typed(annotation), *(((), {"value": given}) if by_name else ((given,), None)))

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "given", "message"),
    [
        (Room, {"name": "a", "doors": ["x"]}, "parameter 'value.doors[0]': expected `int`, got `str`"),
        (Room, {"name": "a"}, "parameter 'value': object missing required field `doors`"),
        (list[Point], [{"x": 1}, {"x": 1, "y": None}], "parameter 'value[1].y': expected `int`, got `null`"),
        (dict[str, list[int]], {"k": [1, "x"]}, "parameter 'value[...][1]': expected `int`, got `str`"),
        (dict[int, str], {"x": "y"}, "parameter 'value': expected `int`, got `str`"),
        (Literal["on", "off"], "up", "parameter 'value': invalid enum value 'up'"),
        (int | None, "x", "parameter 'value': expected `int | null`, got `str`"),
        (Annotated[int, msgspec.Meta(ge=3)], 2, "parameter 'value': expected `int` >= 3"),
        (tuple[int, str], [1], "parameter 'value': expected `array` of length 2, got 1"),
        (bytes, "no base64!", "parameter 'value': invalid base64 encoded string"),
        (dt.date, "soon", "parameter 'value': invalid RFC3339 encoded date"),
    ],
)
def test_a_fault_names_the_parameter_and_the_path(annotation: Any, given: Any, message: str) -> None:
    text = refusal(typed(annotation), [given])

    assert text.startswith(f"a.b: {message}")
    assert "; it was given " in text


def test_a_fault_shows_large_values_cut_short() -> None:
    assert len(refusal(typed(int), ["x" * 1_000_000])) < 200
    assert len(refusal(typed(int), [[list(range(1000))] * 1000])) < 400


@dataclass
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            message = f"{self.number} is odd"
            raise ValueError(message)


def test_a_type_may_check_more_by_itself() -> None:
    assert bind(typed(Even), [{"number": 2}]) == Even(2)
    assert refusal(typed(list[Even]), [[{"number": 3}]]).startswith("a.b: parameter 'value[0]': 3 is odd")


def test_declared_types_win_over_annotations() -> None:
    def function(a: str, b=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return a, b

    assert bind(function, [1, ["2"]], a=int, b=list[str]) == (1, ["2"])
    signature = Signature.of(function, {"a": int, "return": bool})
    assert str(signature) == "(a: int, b = None) -> bool"


def test_types_declared_for_no_parameter_are_refused() -> None:
    with pytest.raises(SignatureError, match=r"^types are declared for c, d, which it has not; remove them"):
        Signature.of(lambda a: a, {"c": int, "d": int})


def call_first(call: Call, a: int, b: int = 2) -> tuple[Any, ...]:
    return call, a, b


def call_between(a: int, call: Call, *more: int) -> tuple[Any, ...]:
    return call, a, more


def call_last(a: int, b: int = 2, call: Call | None = None) -> tuple[Any, ...]:
    return call, a, b


def call_by_name(a: int, *, call: Annotated[Call, "the call"], **more: int) -> tuple[Any, ...]:
    return call, a, more


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "result"),
    [
        (call_first, [1], None, (1, 2)),
        (call_first, [1, 3], None, (1, 3)),
        (call_first, [1], {"b": 3}, (1, 3)),
        (call_first, [], {"a": 1, "b": 3}, (1, 3)),
        (call_between, [1], None, (1, ())),
        (call_between, [1, 2, 3], None, (1, (2, 3))),
        (call_between, [], {"a": 1}, (1, ())),
        (call_last, [1], None, (1, 2)),
        (call_last, [1, 3], None, (1, 3)),
        (call_last, [], {"a": 1}, (1, 2)),
        (call_by_name, [1], None, (1, {})),
        (call_by_name, [1], {"x": 2}, (1, {"x": 2})),
    ],
)
def test_a_method_may_want_the_call(function: Callable[..., Any], args: Any, kwargs: Any, result: Any) -> None:
    call = Call("a.b")
    signature = Signature.of(function)
    bound, named = signature.bind("a.b", args, kwargs)
    bound = signature.give_call(call, bound, named)

    assert function(*bound, **named) == (call, *result)


@pytest.mark.parametrize("function", [call_first, call_between, call_last, call_by_name])
def test_callers_neither_see_nor_give_the_call(function: Callable[..., Any]) -> None:
    signature = Signature.of(function)

    assert "call" not in str(signature)
    with pytest.raises(Fault, match=r"there is no parameter 'call'"):
        signature.bind("a.b", [1], {"call": {"name": "forged"}})


def test_the_call_cannot_be_given_by_position_either() -> None:
    assert "it takes at most 2" in refusal(call_last, [1, 2, {"name": "forged"}])


def two_calls(one: Call, two: Call) -> None: ...
def starred_call(*calls: Call) -> None: ...
def double_starred_call(**calls: Call) -> None: ...
def call_by_position(call: Call, /) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (two_calls, "its parameters 'one' and 'two' are both annotated Call; keep one of them"),
        (starred_call, "its parameter 'calls', annotated Call, must be an ordinary one; remove the star or the slash"),
        (double_starred_call, "its parameter 'calls', annotated Call, must be an ordinary one"),
        (call_by_position, "its parameter 'call', annotated Call, must be an ordinary one"),
    ],
)
def test_the_call_has_one_ordinary_parameter(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(SignatureError) as caught:
        Signature.of(function)
    assert str(caught.value).startswith(message)


@dataclass
class Unresolvable:
    field: Nowhere  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ("Nowhere", "an annotation cannot be resolved (name 'Nowhere' is not defined); import the name it uses"),
        (Point | Room, "its parameter 'value' is annotated "),
        (Unresolvable, "its parameter 'value' is annotated <class "),
    ],
)
def test_annotations_that_cannot_be_checked_are_refused(annotation: Any, message: str) -> None:
    with pytest.raises(SignatureError) as caught:
        Signature.of(typed(annotation))
    assert str(caught.value).startswith(message)


class Unsigned:
    __signature__ = "none"

    def __call__(self) -> None:
        pass


def test_a_function_without_signature_is_refused() -> None:
    with pytest.raises(SignatureError, match=r"^its signature cannot be read .* wrap it in a function"):
        Signature.of(Unsigned())


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (three, "(a: int, b: str = 'b', c: float = 0.5) -> tuple[Any, ...]"),
        (by_name_only, "(a: int, *, b: int, c: int = 3) -> tuple[int, ...]"),
        (by_position_only, "(a: int, b: int = 2, /) -> tuple[int, ...]"),
        (rest, "(a: int, *more: int) -> tuple[Any, ...]"),
        (anything, "(a: int, /, **named: int) -> tuple[Any, ...]"),
        (untyped, "(a, b = None)"),
        (typed(list[Room] | None), "(value: list[Room] | None) -> Any"),
    ],
)
def test_a_signature_is_shown_as_people_write_it(function: Callable[..., Any], text: str) -> None:
    assert str(Signature.of(function)).replace(" -> Any", "") == text.replace(" -> Any", "")


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (None, "None"),
        (type(None), "None"),
        (int | None, "int | None"),
        (Room, "Room"),
        (list[Room], "list[Room]"),
        (dict[str, Any], "dict[str, Any]"),
        (Literal["a.b", 1], "Literal['a.b', 1]"),
        (Mapping[str, int], "Mapping[str, int]"),
    ],
)
def test_types_are_shown_as_people_write_them(annotation: Any, text: str) -> None:
    assert type_name(annotation) == text


class Plain:
    def blocking(self) -> None:
        """Wait.

        Long.
        """

    async def waiting(self) -> None:
        pass


def test_a_method_holds_what_a_call_needs() -> None:
    method = Method("plain.blocking", "plain", Plain().blocking, aliases=("wait",))

    assert method.mode is Mode.BLOCKING
    assert method.doc == "Wait.\n\nLong."
    assert repr(method) == "<Method plain.blocking() -> None>"
    assert method.call_parameter == ""
    assert method.statistics.summary().count == 0


def test_the_mode_follows_from_the_function() -> None:
    assert Method("a.b", "a", Plain().waiting).mode is Mode.ASYNC
    assert Method("a.b", "a", Plain().blocking, quick=True).mode is Mode.QUICK
    assert Method("a.b", "a", Plain().waiting).doc == ""
