"""Reads what Clarens services ship: `.clarens_access`, a Python literal, which is read and never run (spec/clarens.md section 5.1).

Each entry is a name (empty for the whole service) and a rule: order, names allowed, groups allowed, names denied, groups denied, and
`[time of change, start, end]`. How they are understood:

* The most specific entry for a method decides alone: there is no way around it by an entry for the whole service.
* `ORDER_ALLOW_DENY`: who is denied is denied, whatever else says he is allowed. Who is not listed is denied.
* `ORDER_DENY_ALLOW`: who is allowed is allowed, whatever else says he is denied. Who is not listed is denied where the lists of those
  denied are empty, which means all; otherwise everybody who has shown who he is, is allowed.
* Outside of its times an entry allows nobody.
* Names are beginnings of distinguished names, cut between components; `/` is everybody who has shown who he is.
"""

from __future__ import annotations

import ast
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from anycore.access.model import AccessError, Effect, Rule, RuleSet
from anycore.access.subjects import read_subject
from anycore.kernel.patterns import check_name

FILE: Final = ".clarens_access"
_ORDERS: Final = {"ORDER_ALLOW_DENY": 0, "ORDER_DENY_ALLOW": 1}
_MAX_BYTES: Final = 1024 * 1024
_FORM: Final = "[ORDER_ALLOW_DENY, names allowed, groups allowed, names denied, groups denied, [None, start, end]]"


def read_clarens(path: Path, service: str) -> RuleSet:
    """Read the access file of a service.

    Args:
        path: The file.
        service: The service: the first part of its methods' names.

    Raises:
        AccessError: With what is wrong.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AccessError([f"{path}: cannot be read: {error.strerror}; check the path and its permissions"]) from error
    if len(data) > _MAX_BYTES:
        raise AccessError([f"{path}: it has {len(data)} bytes, of {_MAX_BYTES} that are allowed; use groups"])
    if problem := check_name(service) or ("*" in service and "it has a star"):
        raise AccessError([f"{path}: {service!r} is no name of a service: {problem}"])
    try:
        entries = _entries(ast.parse(data.decode(), str(path)))
    except SyntaxError as error:
        raise AccessError([f"{path}:{error.lineno}: {error.msg}; correct the Python literal there"]) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise AccessError([f"{path}: {error}; expected assignments of literals in UTF-8"]) from error
    except _WrongError as error:
        raise AccessError([f"{path}:{error.line}: {error}"]) from None
    rules: list[Rule] = []
    problems: list[str] = []
    for line, name, rule in sorted(entries, key=lambda entry: (-_depth(entry[1], service), entry[0])):
        try:
            rules += _rules(f"{path}:{line}", _full(name, service), rule)
        except ValueError as error:
            problems.append(f"{path}:{line}: the entry for {name!r}: {error}")
    if problems:
        raise AccessError(problems)
    return RuleSet(name=str(path), sections=(tuple(rules),))


class _WrongError(Exception):
    def __init__(self, node: ast.AST, reason: str) -> None:
        super().__init__(reason)
        self.line = getattr(node, "lineno", 1)


def _entries(module: ast.Module) -> list[tuple[int, Any, Any]]:
    """Return line, name and rule of each entry of `access`."""
    found: list[tuple[int, Any, Any]] | None = None
    for index, statement in enumerate(module.body):
        if index == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # the documentation
        name = ""
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            name = target.id if isinstance(target, ast.Name) else ""
        if name in _ORDERS and _literal(statement.value) == _ORDERS[name]:  # type: ignore[attr-defined]
            continue
        if name != "access":
            wanted = "ORDER_ALLOW_DENY = 0, ORDER_DENY_ALLOW = 1 and access = [...]"
            raise _WrongError(statement, f"only {wanted} may be here, and nothing is run; remove this")
        value = statement.value  # type: ignore[attr-defined]
        if not isinstance(value, (ast.List, ast.Tuple)):
            raise _WrongError(value, f"expected a list of entries; write access = [('', {_FORM})]")
        found = [(entry.lineno, *_pair(entry)) for entry in value.elts]
    if found is None:
        raise _WrongError(module, f"there is no list of entries; write access = [('', {_FORM})]")
    return found


def _pair(node: ast.expr) -> tuple[Any, Any]:
    value = _literal(node)
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not isinstance(value[0], str):
        raise _WrongError(node, f"expected a pair of a name and a rule; write ('', {_FORM})")
    return value[0], value[1]


def _literal(node: ast.expr) -> Any:
    """Return the value of a literal of texts, numbers, None, lists and the names of the two orders."""
    if isinstance(node, ast.Constant) and (node.value is None or type(node.value) in (str, int, float)):
        return node.value
    if isinstance(node, ast.Name) and node.id in _ORDERS:
        return _ORDERS[node.id]
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_literal(item) for item in node.elts]
    raise _WrongError(
        node, "expected a literal of texts, numbers, None and lists; nothing else is read, and nothing run"
    )


def _depth(name: str, service: str) -> int:
    return _full(name, service).count(".")


def _full(name: str, service: str) -> str:
    if not name or name == service or name.startswith(f"{service}."):
        return name or service
    return f"{service}.{name}"


def _rules(where: str, name: str, given: Any) -> list[Rule]:
    """Return the rules that one entry amounts to.

    Raises:
        ValueError: When it is none.
    """
    if check_name(name) or "*" in name or "?" in name:
        message = "expected the name of a method"
        raise ValueError(message)
    if not isinstance(given, list) or not 1 <= len(given) <= 6 or type(given[0]) is not int or given[0] not in (0, 1):
        message = f"expected {_FORM}"
        raise ValueError(message)
    lists = [*given[1:5], *([[]] * (5 - len(given)))]
    allowed = (*_names(lists[0]), *_groups(lists[1]))
    denied = (*_names(lists[2]), *_groups(lists[3]))
    start, end = _times(given[5] if len(given) == 6 else None)

    def rule(effect: Effect, to: tuple[str, ...], *, always: bool = False) -> Rule:
        text = f"{effect.value} {name} to {', '.join(to)}"
        return Rule(
            effect=effect,
            patterns=(name,),
            to=to,
            start=None if always else start,
            end=None if always else end,
            where=where,
            text=f"{text} ({'others' if always else list(_ORDERS)[given[0]]})",
        )

    allows = [rule(Effect.ALLOW, allowed)] if allowed else []
    denies = [rule(Effect.DENY, denied)] if denied else []
    if given[0] == _ORDERS["ORDER_ALLOW_DENY"]:
        made = [*denies, *allows]
    else:
        made = [*allows, *denies, *([rule(Effect.ALLOW, ("authenticated",))] if denied else [])]
    return [*made, rule(Effect.DENY, ("*",), always=True)]


def _texts(given: Any) -> list[str]:
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(one, str) and one for one in given):
        message = f"expected a list of names, got {given!r:.60}"
        raise ValueError(message)
    return given


def _names(given: Any) -> tuple[str, ...]:
    return tuple("authenticated" if dn == "/" else read_subject(f"dn:{dn.rstrip('/')}") for dn in _texts(given))


def _groups(given: Any) -> tuple[str, ...]:
    return tuple(read_subject(f"group:{name}") for name in _texts(given))


def _times(given: Any) -> tuple[datetime | None, datetime | None]:
    if given is None:
        return None, None
    numbers = isinstance(given, list) and all(
        one is None or (isinstance(one, (int, float)) and math.isfinite(one)) for one in given
    )
    if not numbers or len(given) > 3:
        message = f"expected [time of change, start, end] in seconds since 1970 or None, got {given!r:.60}"
        raise ValueError(message)
    _, start, end = [*given, None, None, None][:3]
    try:
        return tuple(None if one is None else datetime.fromtimestamp(one, UTC) for one in (start, end))  # type: ignore[return-value]
    except (OverflowError, OSError) as error:
        message = f"a time is out of range: {error}"
        raise ValueError(message) from error
