"""A plain interpreter of rules: slow, without indexes, caches or regular expressions, for comparison. It shares no code with the matcher."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from anycore.access.model import Effect, Kind, Rule, RuleSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anycore.kernel.call import Identity, Peer


def answer(sets: Sequence[RuleSet], kind: Kind, identity: Identity, peer: Peer, name: str, now: float) -> bool | None:
    """Whether it is allowed; None without an opinion."""
    said = []
    for rules in sets:
        opinion = _of_set(rules, kind, identity, peer, name, now)
        if opinion is not None:
            said.append(opinion)
    return all(said) if said else None


def _of_set(rules: RuleSet, kind: Kind, identity: Identity, peer: Peer, name: str, now: float) -> bool | None:
    for section in rules.sections:
        for rule in section:
            if rule.kind is kind and _applies(rule, rules, identity, peer, name, now):
                if rule.effect is Effect.DEFER:
                    break
                return rule.effect is Effect.ALLOW
    return None


def _applies(rule: Rule, rules: RuleSet, identity: Identity, peer: Peer, name: str, now: float) -> bool:
    if rule.start is not None and now < rule.start.timestamp():
        return False
    if rule.end is not None and now >= rule.end.timestamp():
        return False
    separator = "/" if rule.kind in (Kind.READ, Kind.WRITE) else "."
    if not any(fits(pattern, name, separator, rule.exact) for pattern in rule.patterns):
        return False
    if not any(is_one(subject, rules.groups, identity, peer) for subject in rule.to):
        return False
    return all(is_one(c.subject, rules.groups, identity, peer) != c.negated for c in rule.when)


def fits(pattern: str, name: str, separator: str, exact: bool = False) -> bool:
    pattern = pattern.lstrip("/") if separator == "/" else pattern
    if pattern in ("*", "**", "") and not exact:
        return True
    parts, given = pattern.split(separator), name.split(separator)
    if exact:
        return _parts(parts, given)
    return any(_parts(parts, given[:count]) for count in range(1, len(given) + 1))


def _parts(parts: list[str], given: list[str]) -> bool:
    if not parts:
        return not given
    if parts[0] == "**":
        return any(_parts(parts[1:], given[skip:]) for skip in range(len(given) + 1))
    return bool(given) and _text(parts[0], given[0]) and _parts(parts[1:], given[1:])


def _text(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return _text(pattern[1:], text) or (bool(text) and _text(pattern, text[1:]))
    return bool(text) and pattern[0] in ("?", text[0]) and _text(pattern[1:], text[1:])


def is_one(subject: str, groups: dict[str, tuple[str, ...]], identity: Identity, peer: Peer) -> bool:
    known = identity.kind != "anonymous"
    kind, _, value = subject.partition(":")
    if kind == "group":
        own = known and value in identity.groups
        return own or any(is_one(member, groups, identity, peer) for member in groups.get(value, ()))
    if kind == "net":
        if not peer.host:
            return False
        address = ipaddress.ip_address(peer.host)
        if address.version == 6 and address.ipv4_mapped:
            address = address.ipv4_mapped
        return address in ipaddress.ip_network(value)
    if kind == "dn":
        if not known or not identity.dn:
            return False
        wanted = value.rstrip("/").split("/")
        return identity.dn.split("/")[: len(wanted)] == wanted
    if kind == "user":
        return known and identity.name == value
    if kind == "kind":
        return identity.kind == value
    return {
        "*": True,
        "local": peer.local,
        "anonymous": not known,
        "authenticated": known,
    }.get(subject, known and subject in identity.names)
