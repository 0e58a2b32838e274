"""Reads the two files of Bcfg2's plugin ACL: `ip.xml`, by address, and `metadata.xml`, by group and client (spec/bcfg2.md section 4).

* The first entry of `ip.xml` that fits decides; `Defer` leaves it to `metadata.xml`. Where none fits, callers on this machine are allowed
  and others left to `metadata.xml`.
* The first entry of `metadata.xml` that fits decides; where none does, callers on this machine are allowed and others denied.
* `*` in a method stands for one part of a name between dots. An entry without a method fits none.

Two things differ, because there every caller has shown who he is, and here it may be anonymous: without an entry in `metadata.xml`, those
are allowed who have shown who they are; and "this machine" is every loopback address, IPv6 too.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from anycore.access.model import AccessError, Condition, Effect, Kind, Rule, RuleSet
from anycore.access.plain_xml import Element, read_xml
from anycore.access.subjects import EVERYBODY, LOCAL, read_subject
from anycore.kernel.patterns import check_name

FILES: Final = ("ip.xml", "metadata.xml")
_EFFECTS: Final = {"Allow": Effect.ALLOW, "Deny": Effect.DENY, "Defer": Effect.DEFER}
_TRUE: Final = ("true", "1")
_BOOLEANS: Final = (*_TRUE, "false", "0")


def read_bcfg2(folder: Path) -> RuleSet:
    """Read the directory of the plugin.

    Args:
        folder: The directory `ACL`; either of the two files may be missing there, but not both.

    Raises:
        AccessError: With all that is wrong.
    """
    found = [folder / name for name in FILES if (folder / name).is_file()]
    if not found:
        raise AccessError([f"{folder}: expected ip.xml or metadata.xml there; name the directory that has them"])
    problems: list[str] = []
    sections: list[tuple[Rule, ...]] = []
    for path, read in ((folder / FILES[0], _by_address), (folder / FILES[1], _by_metadata)):
        try:
            root = read_xml(path) if path in found else None
            sections.append(tuple(read(path, root)))
        except AccessError as error:
            problems += error.problems
    if problems:
        raise AccessError(problems)
    return RuleSet(name=str(folder), sections=tuple(sections))


def _by_address(path: Path, root: Element | None) -> Iterable[Rule]:
    rules: list[Rule] = []
    problems: list[str] = []
    for element in root.children if root is not None else ():
        _check(path, element, ("Allow", "Deny", "Defer"), ("address", "netmask", "method"), problems)
        try:
            subject = _address(element.attributes)
        except ValueError as error:
            problems.append(f"{path}:{element.line}: {error}")
            continue
        rules += _rule(path, element, (subject,), (), problems)
    if problems:
        raise AccessError(problems)
    if root is not None and root.children:
        rules.append(_last(Effect.ALLOW, LOCAL, f"{path}: callers on this machine, where no entry fits"))
    return rules


def _address(attributes: dict[str, str]) -> str:
    address, mask = attributes.get("address"), attributes.get("netmask")
    if address is None:
        if mask is not None:
            message = "netmask without an address; write both, or neither for every address"
            raise ValueError(message)
        return EVERYBODY
    try:
        ip_network(text := f"{address}/{mask}" if mask is not None else address, strict=False)
    except ValueError as error:
        message = f"{error}; write e.g. address='10.0.0.0' netmask='255.0.0.0', or netmask='8'"
        raise ValueError(message) from None
    return read_subject(f"net:{ip_network(text, strict=False)}")


def _by_metadata(path: Path, root: Element | None) -> Iterable[Rule]:
    rules: list[Rule] = []
    problems: list[str] = []
    waiting: list[tuple[Element, tuple[Condition, ...]]] = (
        [(one, ()) for one in reversed(root.children)] if root else []
    )
    while waiting:
        element, when = waiting.pop()
        if element.name in ("Group", "Client"):
            condition = _condition(path, element, problems)
            waiting += [(one, (*when, condition)) for one in reversed(element.children)]
        else:
            _check(path, element, ("Allow", "Deny", "Group", "Client"), ("method",), problems)
            rules += _rule(path, element, (EVERYBODY,), when, problems)
    if problems:
        raise AccessError(problems)
    if root is None or not root.children:
        return [
            _last(Effect.ALLOW, LOCAL, f"{path}: callers on this machine, as it has no entry"),
            _last(Effect.ALLOW, "authenticated", f"{path}: all who have shown who they are, as it has no entry"),
        ]
    return [
        *rules,
        _last(Effect.ALLOW, LOCAL, f"{path}: callers on this machine, where no entry fits"),
        _last(Effect.DENY, EVERYBODY, f"{path}: others, where no entry fits"),
    ]


def _condition(path: Path, element: Element, problems: list[str]) -> Condition:
    attributes = element.attributes
    _check(path, element, ("Group", "Client"), ("name", "negate"), problems)
    name, negated = attributes.get("name", ""), attributes.get("negate", "false").lower()
    if not name:
        problems.append(f"{path}:{element.line}: <{element.name}>: it has no name; write e.g. name='servers'")
    if negated not in _BOOLEANS:
        problems.append(f"{path}:{element.line}: negate={attributes['negate']!r}: expected true or false")
    return Condition(f"{'group' if element.name == 'Group' else 'user'}:{name or '-'}", negated in _TRUE)


def _rule(
    path: Path, element: Element, to: tuple[str, ...], when: tuple[Condition, ...], problems: list[str]
) -> Iterable[Rule]:
    method = element.attributes.get("method")
    effect = _EFFECTS.get(element.name)
    if method is None or effect is None:
        return ()
    if problem := check_name(method) or ("** is not known here" if "**" in method else ""):
        problems.append(f"{path}:{element.line}: method={method!r}: {problem}")
        return ()
    text = f"{effect.value} {method} to {to[0]}"
    for condition in when:
        text += f", {'not ' if condition.negated else ''}{condition.subject}"
    where = f"{path}:{element.line}"
    return (Rule(effect=effect, patterns=(method,), to=to, when=when, exact=True, where=where, text=text),)


def _last(effect: Effect, subject: str, text: str) -> Rule:
    return Rule(effect=effect, kind=Kind.CALL, patterns=("*",), to=(subject,), text=text)


def _check(path: Path, element: Element, names: tuple[str, ...], known: tuple[str, ...], problems: list[str]) -> None:
    where = f"{path}:{element.line}: <{element.name}>"
    if element.name not in names:
        problems.append(f"{where}: expected {', '.join(names)}")
    problems += [
        f"{where}: there is no attribute {name}; known are: {', '.join(known)}"
        for name in element.attributes
        if name not in known
    ]
