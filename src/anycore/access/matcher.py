"""The compiled rules: answers who may call, read, write and reach what, and remembers its answers. Where rules come from lives in the readers.

The life of an answer: every set of rules is asked; in each, the first rule that applies decides; one denial of a set denies; if no set
has a rule that applies, the answer is that there is no opinion, and whoever asked goes by the default.

Answers are remembered by identity, address and name. An answer is good until the next moment at which some rule begins or ends to apply;
then all are forgotten. Other rules are another matcher, with a memory of its own.
"""

from __future__ import annotations

import time
from ipaddress import ip_network
from math import inf
from typing import TYPE_CHECKING, Any, Final

from anycore.access.model import Effect, Kind, RuleSet
from anycore.access.paths import PathRefusedError, normalise
from anycore.access.section import Entry, Section
from anycore.access.subjects import EVERYBODY, LOCAL, Networks, of_address, subjects_of
from anycore.kernel.patterns import MAX_NAME
from anycore.kernel.policy import NO_OPINION, AccessPolicy, Decision, by_default

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anycore.kernel.call import Identity, Peer

_REMEMBERED: Final = 20_000
_SEPARATORS: Final = {Kind.CALL: ".", Kind.ATTRIBUTE: ".", Kind.READ: "/", Kind.WRITE: "/"}
_TOO_LONG: Final = Decision(
    allowed=False, reason=f"no rule is asked about a name with more than {MAX_NAME} characters, which none has"
)
_NEAR: Final = frozenset({LOCAL})
_FAR: Final[frozenset[str]] = frozenset()

_Address = frozenset[str]


class Matcher(AccessPolicy):
    """Answers by rules. Safe for threads.

    Args:
        sets: The rules.
        groups_of: Returns the groups of an identity besides its own; asked for every question, so that changes count at once.
        default: Decides where no rule has an opinion and the kernel is not asked, as for files.
        clock: Returns the time in seconds since the epoch.

    Attributes:
        by_address: Whether rules go by address, so that `admit` can tell something.
        by_group: Whether rules go by group, so that `groups_of` matters.
        has_attributes: Whether there are rules about attributes.
    """

    def __init__(
        self,
        sets: Sequence[RuleSet],
        *,
        groups_of: Callable[[Identity], frozenset[str]] | None = None,
        default: Callable[[Peer], Decision] = by_default,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.sets = tuple(sets)
        self.default = default
        self.groups_of = groups_of
        self._clock = clock
        self.compiled = {kind: [_sections(one, kind) for one in sets] for kind in Kind}
        entries = [e for kind in Kind for sections in self.compiled[kind] for s in sections for e in s.entries]
        subjects = {subject for entry in entries for subject in entry.subjects}
        subjects |= {one for entry in entries for wanted, _ in entry.conditions for one in wanted}
        self._networks = Networks(subjects)
        self.by_address = any(map(of_address, subjects - {EVERYBODY})) or any(e.effect is Effect.DENY for e in entries)
        self.by_group = any(subject.startswith("group:") for subject in subjects)
        self.has_attributes = any(s.entries for sections in self.compiled[Kind.ATTRIBUTE] for s in sections)
        self._turns = sorted({t for e in entries for t in (e.start, e.end)} - {inf, -inf})
        self._since, self._until = inf, -inf
        self._forget()
        if not self._turns:
            self._since, self._until = -inf, inf

    def _forget(self) -> None:
        # Replaced and not emptied: an answer that is being worked out now goes where nobody looks any more.
        self._answers: dict[Any, Decision] = {}
        self._callers: dict[Any, frozenset[str]] = {}
        self._hosts: tuple[dict[str, _Address], dict[str, _Address]] = ({}, {})
        self._classes: dict[_Address, _Address] = {}

    def decide(self, identity: Identity, peer: Peer, method: str) -> Decision:
        """Decide whether a caller may call a method; see `AccessPolicy.decide`.

        Args:
            identity: Who calls.
            peer: Where from.
            method: The method's full name.

        Returns:
            The decision, `NO_OPINION` where no rule applies.
        """
        return self._decide(Kind.CALL, identity, peer, method)

    def _decide(self, kind: Kind, identity: Identity, peer: Peer, name: str) -> Decision:
        if self._turns:
            self._watch_the_time()
        answers, groups_of = self._answers, self.groups_of
        groups = _FAR if groups_of is None else groups_of(identity)
        address = self._hosts[peer.local].get(peer.host)
        if address is None:
            address = self._address(peer)
        key = (kind, name, identity, groups, address)
        found = answers.get(key)
        if found is None:
            found = self._ask(kind, (name,), self._caller(identity, groups, address))
            if len(answers) >= _REMEMBERED:
                answers.clear()
            if len(name) <= MAX_NAME:
                answers[key] = found
        return found

    def admit(self, peer: Peer, method: str) -> Decision | None:
        """Decide as far as the address alone can; see `AccessPolicy.admit`.

        Args:
            peer: Where a call comes from.
            method: The method's full name.

        Returns:
            What the decision is whoever calls, or None where it depends on that.
        """
        if self._turns:
            self._watch_the_time()
        answers = self._answers
        address = self._hosts[peer.local].get(peer.host)
        if address is None:
            address = self._address(peer)
        key = (method, address)
        found = answers.get(key)
        if found is None:
            found = self._ask_about_address(method, address | {EVERYBODY})
            if len(answers) >= _REMEMBERED:
                answers.clear()
            if len(method) <= MAX_NAME:
                answers[key] = found
        return None if found is _DEPENDS else found

    def turns_away(self, peer: Peer) -> bool:
        """Tell whether nobody at an address may call, read or write anything, whoever it is. Other policies are not asked.

        Args:
            peer: Where somebody is.
        """
        if self._turns:
            self._watch_the_time()
        answers, address = self._answers, self._address(peer)
        found = answers.get(address)
        if found is None:
            everybody = address | {EVERYBODY}
            now = self._clock() if self._turns else 0.0
            away = all(
                any(_denies_all(sections, everybody, now) for sections in self.compiled[kind])
                or (
                    not self.default(peer).allowed
                    and not any(_may_allow(sections, everybody, now) for sections in self.compiled[kind])
                )
                for kind in (Kind.CALL, Kind.READ, Kind.WRITE)
            )
            found = answers[address] = Decision(allowed=not away, reason="")
        return not found.allowed

    def decide_file(self, identity: Identity, peer: Peer, path: str, *, write: bool) -> Decision:
        """Decide whether a caller may read or write a file.

        A service that follows symbolic links asks about what `paths.resolve` returns as well.

        Args:
            identity: Who asks.
            peer: Where from.
            path: The virtual path as it was sent; it is judged in its normal form, or refused.
            write: Whether the file is to be written, made, renamed or removed; otherwise it is to be read or listed.
        """
        try:
            name = normalise(path)[1:]
        except PathRefusedError as error:
            return Decision(allowed=False, reason=str(error))
        found = self._decide(Kind.WRITE if write else Kind.READ, identity, peer, name)
        return self.default(peer) if found is NO_OPINION else found

    def decide_attribute(self, identity: Identity, peer: Peer, names: Sequence[str]) -> Decision:
        """Decide whether a caller may use an attribute of an object; `NO_OPINION` where RPyC's own rules hold.

        Args:
            identity: Who asks.
            peer: Where from.
            names: The names that the attribute goes by: one for each class of the object.
        """
        if self._turns:
            self._watch_the_time()
        groups = _FAR if self.groups_of is None else self.groups_of(identity)
        return self._ask(Kind.ATTRIBUTE, names, self._caller(identity, groups, self._address(peer)))

    def subjects(self, identity: Identity, peer: Peer) -> frozenset[str]:
        """Return all subjects that a caller is, as far as the rules know them."""
        groups = _FAR if self.groups_of is None else self.groups_of(identity)
        return self._caller(identity, groups, self._address(peer))

    def _ask(self, kind: Kind, names: Sequence[str], caller: frozenset[str]) -> Decision:
        if any(len(name) > MAX_NAME for name in names):
            return _TOO_LONG
        now = self._clock() if self._turns else 0.0
        outcome = NO_OPINION
        for sections in self.compiled[kind]:
            for section in sections:
                entry = section.first(names, caller, now)
                if entry is not None and entry.effect is not Effect.DEFER:
                    if entry.effect is Effect.DENY:
                        return entry.decision
                    outcome = entry.decision if outcome is NO_OPINION else outcome
                    break
        return outcome

    def _ask_about_address(self, name: str, address: _Address) -> Decision:
        if len(name) > MAX_NAME:
            return _TOO_LONG
        now = self._clock() if self._turns else 0.0
        outcome = NO_OPINION
        for sections in self.compiled[Kind.CALL]:
            found = _by_address(sections, name, address, now)
            if found is _DEPENDS:
                outcome = _DEPENDS
            elif found is not NO_OPINION:
                if not found.allowed:
                    return found
                outcome = found if outcome is NO_OPINION else outcome
        return outcome

    def _caller(self, identity: Identity, groups: frozenset[str], address: _Address) -> frozenset[str]:
        callers = self._callers
        key = (identity, groups)
        found = callers.get(key)
        if found is None:
            if len(callers) >= _REMEMBERED:
                callers.clear()
            found = callers[key] = subjects_of(identity, groups)
        return found | address

    def _address(self, peer: Peer) -> _Address:
        """Return the subjects that an address is: the same object for all addresses that are the same ones."""
        hosts = self._hosts[peer.local]
        found = hosts.get(peer.host)
        if found is None:
            networks = self._networks.of(peer.host)
            if not peer.local:  # whoever comes by a proxy is not on this machine, which rules about loopback mean
                networks = tuple(one for one in networks if not ip_network(one[4:]).is_loopback)
            found = frozenset({*(_NEAR if peer.local else _FAR), *networks})
            found = self._classes.setdefault(found, found)
            if len(hosts) >= _REMEMBERED:
                hosts.clear()
            hosts[peer.host] = found
        return found

    def _watch_the_time(self) -> None:
        """Forget all answers when a rule has begun or ended to apply since they were given, or the clock was set."""
        now = self._clock()
        if not self._since <= now < self._until:
            self._forget()
            self._since = max((turn for turn in self._turns if turn <= now), default=-inf)
            self._until = min((turn for turn in self._turns if turn > now), default=inf)


_DEPENDS: Final = Decision(allowed=False, reason="it depends on who calls")


def _sections(rules: RuleSet, kind: Kind) -> list[Section]:
    chosen = [[rule for rule in section if rule.kind is kind] for section in rules.sections]
    return [Section(some, rules.groups, _SEPARATORS[kind]) for some in chosen if some]


def _by_address(sections: Sequence[Section], name: str, address: _Address, now: float) -> Decision:
    """Answer for one set of rules, as far as the address alone can; `_DEPENDS` where it cannot, but somebody may be allowed."""
    denies_some = False
    for section in sections:
        for entry in section.in_order(name, now):
            if not _settled(entry, address):
                if not entry.by_address and entry.effect is not Effect.DENY:
                    return _DEPENDS
                denies_some = denies_some or not entry.by_address
            elif entry.effect is Effect.DEFER:
                break
            else:
                return _DEPENDS if denies_some and entry.effect is Effect.ALLOW else entry.decision
    return NO_OPINION


def _denies_all(sections: Sequence[Section], address: _Address, now: float) -> bool:
    """Tell whether one set of rules denies everything to everybody at an address, before a rule that could allow somebody something."""
    for section in sections:
        everything = section.everything()
        for position, entry in enumerate(section.entries):
            if not entry.in_force(now):
                continue
            settled = _settled(entry, address)
            if settled and entry.effect is Effect.DENY and position in everything:
                return True
            if entry.effect is not Effect.DENY and (settled or not entry.by_address):
                return False
    return False


def _may_allow(sections: Sequence[Section], address: _Address, now: float) -> bool:
    """Tell whether one set of rules could allow somebody at an address something."""
    return any(
        entry.effect is Effect.ALLOW and entry.in_force(now) and (_settled(entry, address) or not entry.by_address)
        for section in sections
        for entry in section.entries
    )


def _settled(entry: Entry, address: _Address) -> bool:
    """Tell whether a rule concerns everybody at an address."""
    return not entry.conditions and not entry.subjects.isdisjoint(address)
