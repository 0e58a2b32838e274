"""Exceptions, there and back: known, unknown, exotic, hostile."""

from __future__ import annotations

import sys
import traceback
from typing import Any, Self

import pytest

from anycore.objects.config import make_config
from anycore.objects.exceptions import ExceptionLoader, GenericException, dump
from anycore.testing.linked import linked
from anycore.wire import brine


class DemandingError(Exception):
    """Wants two arguments."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.reason = reason


class NewDemandingError(Exception):
    """Wants an argument even in __new__."""

    def __new__(cls, code: int) -> Self:
        made = super().__new__(cls, code)
        made.code = code
        return made

    code: int


class HostileError(Exception):
    """Whatever one asks of it fails."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__

    @property
    def broken(self) -> None:
        raise LookupError("no")

    def __dir__(self) -> list[str]:
        return ["broken", "\ud800", "ok"]

    ok = object


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001 - for its traceback
        return raised


def through(
    error: BaseException, sender: dict[str, Any] | None = None, receiver: dict[str, Any] | None = None
) -> BaseException:
    sent = dump(caught(error), make_config(sender))
    return ExceptionLoader(make_config(receiver)).load(brine.load(brine.dump(sent)))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x", 7), KeyError("k"), OSError(2, "gone", "file"), ZeroDivisionError(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        UnicodeEncodeError("ascii", "\xff", 0, 1, "bad"), UnicodeTranslateError("x", 0, 1, "bad"), UnicodeError("plain"), SystemExit(3),
        KeyboardInterrupt(), GeneratorExit(), SyntaxError("bad", ("file", 1, 2, "text")), ImportError("no", name="x"), StopAsyncIteration(),
        AttributeError("a"), TimeoutError("late"), RecursionError("deep"), AssertionError(),
    ],
    ids=repr,
)  # fmt: skip
def test_builtin_exceptions_arrive_as_themselves(error: BaseException) -> None:
    got = through(error)
    assert isinstance(got, type(error))
    assert got.args == error.args
    assert type(got).__name__ == type(error).__name__
    assert str(got).startswith(str(error))
    assert "========= Remote Traceback (1) =========" in str(got)
    assert "in caught" in str(got)
    assert "Remote Traceback" in repr(got)
    traceback.format_exception(got)


def test_stop_iteration_is_one_number() -> None:
    assert dump(StopIteration(5), make_config()) == 1
    assert type(ExceptionLoader(make_config()).load(1)) is StopIteration


def test_custom_exceptions_are_generic_unless_that_is_allowed() -> None:
    got = through(DemandingError(5, "because"))
    assert isinstance(got, GenericException) and not isinstance(got, DemandingError)
    assert type(got).__name__ == f"{__name__}.DemandingError"
    assert (got.code, got.reason, got.args) == (5, "because", ("because (5)",))  # type: ignore[attr-defined]
    known = through(DemandingError(5, "because"), receiver={"instantiate_custom_exceptions": True})
    assert isinstance(known, DemandingError) and (known.code, known.reason) == (5, "because")


def test_what_is_allowed_may_change_while_the_connection_lives() -> None:
    config = make_config()
    loader, sent = ExceptionLoader(config), dump(DemandingError(1, "x"), make_config())
    assert not isinstance(loader.load(sent), DemandingError)
    config["instantiate_custom_exceptions"] = True
    assert isinstance(loader.load(sent), DemandingError)


def test_modules_are_imported_only_where_that_is_allowed() -> None:
    sys.modules.pop("this", None)
    sent = (("this", "Nothing"), (), (), "")
    ExceptionLoader(make_config({"instantiate_custom_exceptions": True})).load(sent)
    assert "this" not in sys.modules
    sent = (("no.such.module", "Nothing"), (), (), "")
    got = ExceptionLoader(make_config({"instantiate_custom_exceptions": True, "import_custom_exceptions": True})).load(
        sent
    )
    assert isinstance(got, GenericException)


def test_a_class_that_wants_arguments_even_to_be_made() -> None:
    got = through(NewDemandingError(5), receiver={"instantiate_custom_exceptions": True})
    assert isinstance(got, NewDemandingError) and got.code == 5
    group = through(ExceptionGroup("several", [ValueError("x")]))
    assert isinstance(group, ExceptionGroup)
    assert "several" in str(group)


def test_an_exception_about_which_nothing_can_be_asked() -> None:
    got = through(HostileError("\ud800", object(), 10**5000, HostileError()))
    assert type(got).__name__ == f"{__name__}.HostileError"
    assert len(got.args) == 4
    assert str(got)


def test_what_the_peer_may_not_see() -> None:
    got = through(ValueError("x"), sender={"include_local_traceback": False, "include_local_version": False})
    assert "<traceback denied>" in str(got)
    assert "in caught" not in str(got)
    assert got._remote_version == "<version denied>"  # type: ignore[attr-defined]


def test_a_traceback_that_came_from_afar_is_counted() -> None:
    twice = through(through(ValueError("x")))
    assert "Remote Traceback (1)" in str(twice)
    assert "Remote Traceback (2)" in str(twice)
    assert type(twice).__name__ == "ValueError"


def test_another_version_is_remarked_on() -> None:
    loader = ExceptionLoader(make_config())
    for version, remarked in (("6.0.2", False), ("5.3.1", False), ("7.0", True), ("<version denied>", False)):
        got = loader.load((("builtins", "ValueError"), (), (("_remote_version", version),), "trace"))
        assert (f"version {version}" in str(got)) == remarked


HOSTILE: list[Any] = [
    None, 5, 1.5, True, (), (1,), "text", ("a", "b", "c", "d"), ((1, 2), 3, 4, 5), (("builtins", "eval"), (), (), ""),
    (("builtins", "ValueError"), 5, (), ""), (("builtins", "ValueError"), (), ((1,),), ""), (("builtins", "ValueError"), (), (("a", 1, 2),), ""),
    (("builtins", "ValueError"), (), (("__class__", 5), ("args", 5), ("with_traceback", 5), ("__dict__", ()), ("x" * 10**5, 1)), 5),
    (("a\0b", "c\0d"), (), (), ""), (("", ""), (), (), ""), (("builtins", "x" * 10**5), (), (), ""),
    (("builtins", "OSError"), (1, 2, 3, 4, 5, 6), (("errno", "x"), ("characters_written", "x")), ""),
    (("builtins", "SyntaxError"), (5, 6), (("lineno", "x"), ("text", 5), ("filename", 7), ("print_file_and_line", 1)), ""),
    (("builtins", "AttributeError"), (), (("name", 5), ("obj", 6)), ""), (("builtins", "BaseExceptionGroup"), (), (), ""),
    (("builtins", "ExceptionGroup"), (5, (6,)), (("exceptions", 5),), ""), (("builtins", "NameError"), (), (("name", 5),), ""),
]  # fmt: skip
UNICODE: list[Any] = [
    (("builtins", kind), args, attributes, "trace")
    for kind in ("UnicodeDecodeError", "UnicodeEncodeError", "UnicodeTranslateError", "UnicodeError")
    for args in (
        (), (1,), ("utf-8", b"x", -5, 1, "bad"), ("utf-8", b"x", 0, 10**6, "bad"), ("utf-8", b"x", 10**30, 10**30 + 1, "bad"),
        ("utf-8", 5, 0, 1, "bad"), (5, b"x", 0, 1, 7), ("ascii", "x", -1, 0, "bad"), ("x", -1, 0, "bad"), (5, 0, 1, "bad"),
        ("ascii", "x", 0, 1, "fine"), ("utf-8", b"x", 0, 1, "fine"), ("x", 0, 1, "fine"),
    )
    for attributes in ((), (("object", 5), ("start", -(10**6)), ("end", -(10**6) + 1), ("encoding", 5), ("reason", 6)))
]  # fmt: skip


@pytest.mark.parametrize("sent", HOSTILE + UNICODE, ids=lambda sent: repr(sent)[:60])
def test_whatever_is_sent_becomes_an_exception_that_can_be_shown(sent: Any) -> None:
    got = ExceptionLoader(make_config({"instantiate_custom_exceptions": True})).load(sent)
    assert isinstance(got, BaseException)
    assert isinstance(str(got), str) and isinstance(repr(got), str)
    traceback.format_exception(got)
    dump(got, make_config())


def test_many_class_names_do_not_fill_the_memory() -> None:
    loader = ExceptionLoader(make_config())
    for number in range(10_100):
        loader.load((("m", f"E{number}"), (), (), ""))
    assert len(loader._classes) <= 10_000


class Block:
    """Remembers how its with block ended."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> bool:
        self.seen.append((kind, str(error), trace is not None))
        return kind is ValueError


def test_with_blocks_get_real_exceptions() -> None:
    block = Block()
    with linked(block, config={"allow_all_attrs": True}) as (conn, _):
        with conn.root:
            pass
        with conn.root:
            raise ValueError("inside")
        with pytest.raises(LookupError), conn.root:
            raise LookupError("other")
        with pytest.raises(DemandingError), conn.root:
            raise DemandingError(5, "own")
    assert [kind for kind, _, _ in block.seen[:3]] == [None, ValueError, LookupError]
    assert block.seen[1] == (ValueError, "inside", True)
    assert block.seen[3][0].__name__ == f"{__name__}.DemandingError"
