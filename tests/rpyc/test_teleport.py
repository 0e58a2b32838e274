from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from anycore.objects.connection import Connection
from anycore.rpyc.master import MasterService
from anycore.rpyc.slave import SlaveService
from anycore.rpyc.teleport import export_function, import_function, teleport_function
from anycore.wire.brine import dumpable

Connect = Callable[..., Connection]
OLD = ("qualname", "exceptiontable")


def sample(first: int, second: tuple[int, ...] = (2, 3), *rest: int, scale: int = 10, **more: int) -> list[int]:
    """Have something of everything."""
    import math

    try:
        return [scale * int(math.sqrt(n)) for n in (first, *second, *rest, *more.values())]
    except ZeroDivisionError:
        return []


def without_tables(a: int, b: int = 2) -> int:
    return a + b


@pytest.fixture
def master(connect: Connect) -> Any:
    return connect(SlaveService, service=MasterService)


def test_a_function_goes_to_pieces_that_travel_by_value_and_back() -> None:
    exported = export_function(sample)
    assert dumpable(exported)
    assert exported[:4] == ("sample", __name__, ((2, 3),), (("scale", 10),))
    assert len(exported[4]) == 18
    namespace: dict[str, Any] = {}
    made = import_function(exported, namespace)
    assert namespace["sample"] is made
    for args, kwargs in (((4,), {}), ((4, (9,), 16), {"scale": 1, "x": 25})):
        assert made(*args, **kwargs) == sample(*args, **kwargs)  # type: ignore[arg-type]
    assert made.__qualname__ == "sample"
    assert made.__doc__ == sample.__doc__


def test_it_need_not_be_defined_under_its_name() -> None:
    namespace: dict[str, Any] = {}
    import_function(export_function(without_tables), namespace, define=False)
    assert "without_tables" not in namespace


@pytest.mark.parametrize("length", [18, 16, 15])
def test_code_of_every_length_is_taken(length: int) -> None:
    *head, code = export_function(without_tables)
    layout = ["argcount", "posonlyargcount", "kwonlyargcount", *map(str, range(9)), "qualname", "line", "lines"]
    layout += ["exceptiontable", "free", "cell"]
    left_out = {18: (), 16: OLD, 15: (*OLD, "posonlyargcount")}[length]
    shorter = tuple(part for name, part in zip(layout, code, strict=True) if name not in left_out)
    assert len(shorter) == length
    made = import_function((*head, shorter), {})
    assert made(3) == 5
    assert made.__code__.co_qualname == "without_tables"


def test_globals_are_those_of_the_module_it_comes_from() -> None:
    _name, _module, *rest = export_function(without_tables)
    made: Any = import_function(("teleported_here", "sys", *rest), define=False)
    assert made.__globals__ is vars(sys)
    orphan: Any = import_function(("teleported_here", "no_such_module", *rest), define=False)
    assert orphan.__globals__ is vars(sys.modules["__main__"])


def closure(value: int) -> Callable[[], int]:
    return lambda: value


def listed(items: Any = []) -> None:  # noqa: B006
    """Have a default that does not travel."""


def keyed(*, items: Any = {}) -> None:  # noqa: B006
    """Have a keyword default that does not travel."""


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (closure(1), "uses value of the function around it"),
        (listed, r"defaults of listed\(\)"),
        (keyed, r"defaults of keyed\(\)"),
        (len, "written in Python"),
        (int, "written in Python"),
    ],
)
def test_what_cannot_go_is_refused(function: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        export_function(function)


def test_constants_that_do_not_travel_are_refused() -> None:
    code = without_tables.__code__.replace(co_consts=(Path(),))
    with pytest.raises(TypeError, match="constant"):
        export_function(FunctionType(code, {}))


@pytest.mark.parametrize(
    ("exported", "match"),
    [(None, "five items"), ((1, 2), "five items"), (("f", "m", None, None, (1, 2, 3)), "15, 16 or 18 parts, not 3")],
)
def test_what_is_no_function_is_refused(exported: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        import_function(exported, {})


def test_a_teleported_function_runs_there(master: Any) -> None:
    def where() -> tuple[int, str]:
        import os

        return os.getpid(), __name__

    master.execute("__name__ = 'there'")
    assert master.teleport(where)() == (os.getpid(), "there")
    assert master.namespace["where"]()[1] == "there"


def test_another_namespace_may_be_given(master: Any) -> None:
    names = master.builtins.dict(offset=5)

    def shifted(number: int) -> int:
        return number + offset  # type: ignore[name-defined]  # noqa: F821

    assert teleport_function(master, shifted, names)(1) == 6
    assert "shifted" in names
    assert teleport_function(master, shifted, {"offset": 1}, def_=False)(1) == 2  # a copy of ours
