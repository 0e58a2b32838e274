"""The compiled matcher and the plain interpreter agree, on 100,000 questions about random rules."""

from __future__ import annotations

import importlib.util
import random
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from anycore.access.matcher import Matcher
from anycore.access.model import Condition, Effect, Kind, Rule, RuleSet
from anycore.kernel.call import ANONYMOUS, Identity, Peer
from anycore.kernel.policy import NO_OPINION

NAMES = [
    "a", "a.b", "a.get_b", "a.b.c", "b.get_x", "b.x.get_x.y", "ab.ba", "a.", ".a", "", "a..b", "A.b", "b", "abab.abba", "b.a.b.a",
]  # fmt: skip
PATHS = ["", "a", "a/b", "a/b/c", "b/ab", "ab/b/a/b", "a/abab"]
PATTERNS = [
    "*", "**", "a", "b", "a.*", "a.b", "*.get_*", "**.get_*", "a.**.b", "a?", "a*b", "*a*b*a*", "**.a.**.b", "?.b", "a.b.*", "*.*",
    "*.*.*", "b.**", "**.a*b", "a.b.c", "*b.*", "**.*",
]  # fmt: skip
SUBJECTS = [
    "*", "anonymous", "authenticated", "local", "net:10.0.0.0/8", "net:10.1.0.0/16", "net:10.1.2.3/32", "net:2001:db8::/32", "net:0.0.0.0/0",
    "user:bob", "user:eve", "cn:bob", "group:ops", "group:lab", "group:staff", "kind:token", "kind:certificate", "dn:/", "dn:/DC=org",
    "dn:/DC=org/OU=x", "dn:/DC=com",
]  # fmt: skip
GROUPS: dict[str, tuple[str, ...]] = {"lab": ("net:10.1.0.0/16", "user:eve"), "staff": ("group:lab", "cn:bob")}
IDENTITIES = [
    ANONYMOUS,
    Identity("bob", "token"),
    Identity("bob", "certificate", frozenset({"ops"}), "/DC=org/OU=x/CN=bob", ("cn:bob",)),
    Identity("eve", "password", frozenset({"lab"})),
    Identity("org", "certificate", frozenset(), "/DC=orgs/CN=x", ("cn:x", "dns:x.org")),
    Identity("anonymous", "anonymous", frozenset({"ops"}), "/DC=org", ("cn:bob",)),
]
PEERS = [
    Peer(),
    *(
        Peer.of_address((host, 7))
        for host in ("127.0.0.1", "10.0.0.1", "10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1", "192.0.2.1", "::1")
    ),
]
TIMES = [0.0, 100.0, 200.0, 300.0]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", Path(__file__).with_name("reference.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_rule(chance: random.Random) -> Rule:
    kind = chance.choice([Kind.CALL, Kind.CALL, Kind.CALL, Kind.READ, Kind.WRITE])
    exact = chance.random() < 0.15
    patterns = chance.sample([p for p in PATTERNS if not (exact and "**" in p)], chance.choice([1, 1, 2]))
    if kind is not Kind.CALL:
        patterns = ["/" + pattern.replace(".", "/") for pattern in patterns]
    when = [Condition(chance.choice(SUBJECTS), chance.random() < 0.5) for _ in range(chance.choice([0, 0, 0, 1, 2]))]
    turns = sorted(chance.sample([50, 100, 150, 200, 250], 2))
    start, end = (datetime.fromtimestamp(turn, UTC) if chance.random() < 0.15 else None for turn in turns)
    return Rule(
        effect=chance.choice([Effect.ALLOW, Effect.ALLOW, Effect.DENY, Effect.DEFER]),
        kind=kind,
        patterns=tuple(patterns),
        to=tuple(chance.sample(SUBJECTS, chance.choice([1, 1, 2, 3]))),
        when=tuple(when),
        start=start,
        end=end,
        exact=exact,
    )


def random_sets(chance: random.Random) -> list[RuleSet]:
    return [
        RuleSet(
            name=f"set {number}",
            sections=tuple(
                tuple(random_rule(chance) for _ in range(chance.choice([0, 1, 3, 10, 40])))
                for _ in range(chance.choice([1, 1, 2]))
            ),
            groups=GROUPS,
        )
        for number in range(chance.choice([1, 1, 2, 3]))
    ]


def as_bool(decision: object) -> bool | None:
    return None if decision is NO_OPINION else decision.allowed  # type: ignore[attr-defined]


@pytest.mark.timeout(120)
def test_the_matcher_and_the_interpreter_agree_on_100_000_questions(reference: ModuleType) -> None:
    chance = random.Random(5)
    now = [0.0]
    seen = {True: 0, False: 0, None: 0}
    for _ in range(100):
        sets = random_sets(chance)
        matcher = Matcher(sets, clock=lambda: now[0])
        for turn in range(1000):
            if turn % 250 == 0:
                now[0] = chance.choice(TIMES)
            kind = chance.choice([Kind.CALL, Kind.CALL, Kind.READ, Kind.WRITE])
            name = chance.choice(NAMES if kind is Kind.CALL else PATHS)
            identity, peer = chance.choice(IDENTITIES), chance.choice(PEERS)
            wanted = reference.answer(sets, kind, identity, peer, name, now[0])
            found = as_bool(matcher._decide(kind, identity, peer, name))
            assert found is wanted, (sets, kind, identity, peer, name, now[0])
            seen[wanted] += 1
    assert min(seen.values()) > 5000, seen


def test_the_address_alone_never_decides_what_the_identity_would_decide_otherwise() -> None:
    chance = random.Random(6)
    settled = 0
    for _ in range(300):
        matcher = Matcher(random_sets(chance), clock=lambda: 120.0)
        for name in chance.sample(NAMES, 5):
            peer = chance.choice(PEERS)
            early = matcher.admit(peer, name)
            if early is None:
                continue
            decisions = {as_bool(matcher.decide(identity, peer, name)) for identity in IDENTITIES}
            if early is NO_OPINION:
                assert True not in decisions
            else:
                assert decisions == {early.allowed}, (matcher.sets, peer, name)
                settled += 1
    assert settled > 100


def test_patterns_agree_with_the_interpreter_on_random_names(reference: ModuleType) -> None:
    chance = random.Random(7)
    rule = Rule(effect=Effect.ALLOW, patterns=("x",), to=("*",))
    for _ in range(3000):
        parts = ["".join(chance.choices("ab*?", k=chance.randint(1, 4))) for _ in range(chance.randint(1, 4))]
        pattern = ".".join("**" if "**" in part else part for part in parts)
        exact = "**" not in parts and "**" not in pattern and chance.random() < 0.3
        sets = [RuleSet(name="", sections=((Rule(effect=rule.effect, patterns=(pattern,), to=("*",), exact=exact),),))]
        matcher = Matcher(sets)
        for _ in range(5):
            name = "".join(chance.choices("ab.", k=chance.randint(0, 9)))
            found = matcher.decide(ANONYMOUS, Peer(), name) is not NO_OPINION
            assert found is reference.fits(pattern, name, ".", exact), (pattern, name, exact)


def test_nobody_whom_a_rule_allows_anything_is_turned_away() -> None:
    chance = random.Random(8)
    turned = 0
    for _ in range(2000):
        rules = tuple(random_rule(chance) for _ in range(chance.choice([1, 2, 3])))
        matcher = Matcher([RuleSet(name="", sections=(rules,), groups=GROUPS)], clock=lambda: 120.0)
        peer = chance.choice(PEERS)
        if not matcher.turns_away(peer):
            continue
        turned += 1
        for identity in IDENTITIES:
            for name in NAMES:
                decision = matcher.decide(identity, peer, name)
                assert not decision.allowed
                assert decision is not NO_OPINION or not matcher.default(peer).allowed
            for path in PATHS:
                assert not matcher.decide_file(identity, peer, "/" + path, write=False).allowed
                assert not matcher.decide_file(identity, peer, "/" + path, write=True).allowed
    assert turned > 50
