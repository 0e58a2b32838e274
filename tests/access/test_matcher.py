"""The matcher's memory, the time, groups, names that are no names. Whether its answers are right is shown by comparison elsewhere."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from anycore.access import matcher as module
from anycore.access.matcher import Matcher
from anycore.access.model import Condition, Effect, Kind, Rule, RuleSet
from anycore.kernel.call import ANONYMOUS, Identity, Peer
from anycore.kernel.policy import NO_OPINION, anybody, nobody

FAR = Peer.of_address(("192.0.2.1", 7))
NEAR = Peer.of_address(("127.0.0.1", 7))
BOB = Identity("bob", "password")


def rule(effect: str, patterns: str, to: str = "*", **more: Any) -> Rule:
    return Rule(
        effect=Effect(effect),
        patterns=tuple(patterns.split()),
        to=tuple(to.split()),
        text=f"{effect} {patterns}",
        **more,
    )


def matcher(*rules: Rule, **more: Any) -> Matcher:
    return Matcher([RuleSet(name="rules", sections=(rules,))], **more)


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def test_the_first_rule_that_applies_decides() -> None:
    rules = matcher(rule("deny", "a.x", "user:eve"), rule("allow", "a", "authenticated"), rule("deny", "*"))
    assert rules.decide(BOB, FAR, "a.x").allowed
    assert rules.decide(BOB, FAR, "a.x").reason == "allow a"
    assert not rules.decide(Identity("eve", "password"), FAR, "a.x").allowed
    assert rules.decide(ANONYMOUS, FAR, "a.x").reason == "deny *"


def test_one_denial_of_several_sets_denies_and_silence_is_no_opinion() -> None:
    first, second = (
        RuleSet(name="1", sections=((rule("allow", "a b"),),)),
        RuleSet(name="2", sections=((rule("deny", "b"),),)),
    )
    for sets in ([first, second], [second, first]):
        rules = Matcher(sets)
        assert rules.decide(BOB, FAR, "a").allowed
        assert not rules.decide(BOB, FAR, "b").allowed
        assert rules.decide(BOB, FAR, "c") is NO_OPINION


def test_a_rule_begins_and_ends_though_the_answer_was_remembered() -> None:
    now = [0.0]
    rules = matcher(
        rule("deny", "a", start=at(100), end=at(200)),
        rule("allow", "a", end=at(300)),
        clock=lambda: now[0],
        default=nobody,
    )
    answers = []
    for moment in (0.0, 99.9, 100.0, 199.9, 200.0, 299.9, 300.0, 150.0, 50.0):
        now[0] = moment
        answers += [(moment, rules.decide(BOB, FAR, "a").allowed) for _ in range(2)]
    wanted = {
        0.0: True,
        99.9: True,
        100.0: False,
        199.9: False,
        200.0: True,
        299.9: True,
        300.0: False,
        150.0: False,
        50.0: True,
    }
    assert dict(answers) == wanted
    assert all(wanted[moment] is answer for moment, answer in answers)


def test_groups_that_change_count_at_once() -> None:
    groups = {"bob": frozenset[str]()}
    rules = matcher(rule("allow", "a", "group:ops"), groups_of=lambda identity: groups.get(identity.name, frozenset()))
    assert rules.decide(BOB, FAR, "a") is NO_OPINION
    groups["bob"] = frozenset({"ops"})
    assert rules.decide(BOB, FAR, "a").allowed
    groups["bob"] = frozenset()
    assert rules.decide(BOB, FAR, "a") is NO_OPINION


def test_groups_of_the_configuration_may_hold_groups_and_networks() -> None:
    groups: dict[str, tuple[str, ...]] = {
        "lab": ("net:10.0.0.0/8", "user:bob"),
        "all": ("group:lab", "group:all", "group:ops"),
    }
    rules = Matcher([RuleSet(name="", sections=((rule("allow", "a", "group:all"),),), groups=groups)])
    assert rules.decide(BOB, FAR, "a").allowed
    assert rules.decide(ANONYMOUS, Peer.of_address(("10.1.1.1", 1)), "a").allowed
    assert rules.decide(Identity("x", "token", frozenset({"ops"})), FAR, "a").allowed
    assert rules.decide(Identity("x", "token"), FAR, "a") is NO_OPINION


def test_conditions_all_have_to_hold() -> None:
    when = (Condition("group:a"), Condition("user:eve", negated=True))
    rules = matcher(rule("allow", "*", when=when))
    assert rules.decide(Identity("bob", "password", frozenset({"a"})), FAR, "x").allowed
    assert rules.decide(Identity("eve", "password", frozenset({"a"})), FAR, "x") is NO_OPINION
    assert rules.decide(BOB, FAR, "x") is NO_OPINION


def test_answers_are_not_mixed_up_between_identities_addresses_kinds_and_names() -> None:
    rules = matcher(
        rule("allow", "a", "user:bob"),
        rule("allow", "/a", "user:bob", kind=Kind.READ),
        rule("allow", "b", "local"),
    )
    for _ in range(2):
        assert rules.decide(BOB, FAR, "a").allowed
        assert rules.decide(Identity("bob", "anonymous"), FAR, "a") is NO_OPINION
        assert rules.decide(BOB, FAR, "b") is NO_OPINION
        assert rules.decide(BOB, NEAR, "b").allowed
        assert rules.decide(BOB, Peer.of_address("/run/s"), "b").allowed
        assert rules.decide_file(BOB, FAR, "/a", write=False).allowed
        assert not rules.decide_file(BOB, FAR, "/a", write=True).allowed


def test_no_peer_can_make_it_remember_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 50)
    rules = matcher(rule("allow", "a.*", "net:10.0.0.0/8"), rule("deny", "*.x*"))
    for number in range(1000):
        peer = Peer.of_address((f"10.0.{number // 250}.{number % 250}", 1))
        rules.decide(Identity(f"u{number}", "password"), peer, f"a.m{number}")
        rules.admit(peer, f"a.m{number}")
    assert len(rules._answers) <= 50
    assert len(rules._callers) <= 50
    assert max(map(len, rules._hosts)) <= 50


def test_what_is_remembered_of_names_is_bounded() -> None:
    rules = matcher(*(rule("allow", f"a.* b{number}") for number in range(1000)))
    section = rules.compiled[Kind.CALL][0][0]
    for number in range(1000):
        rules.decide(BOB, FAR, f"a.{number}")
    assert section._kept <= 100_000
    assert sum(len(pair[0]) for pair in section._known.values()) <= 100_000


@pytest.mark.parametrize("length", [4097, 1_000_000])
def test_a_name_that_none_can_have_is_denied_and_not_kept(length: int) -> None:
    rules = matcher(rule("allow", "*"), default=anybody)
    assert not rules.decide(BOB, FAR, "a" * length).allowed
    assert not (rules.admit(FAR, "a" * length) or NO_OPINION).allowed
    assert not [
        key
        for key in rules._answers
        if isinstance(key, tuple) and any(isinstance(one, str) and len(one) > 4096 for one in key)
    ]


def test_threads_get_the_same_answers_while_all_is_forgotten() -> None:
    now = [0.0]
    rules = matcher(rule("allow", "a.*", "user:bob"), rule("deny", "b", end=at(10)), clock=lambda: now[0])
    wrong: list[object] = []

    def ask() -> None:
        for number in range(2000):
            if not rules.decide(BOB, FAR, f"a.{number % 7}").allowed:
                wrong.append(number)
            now[0] = float(number % 20)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_address_alone() -> None:
    rules = matcher(rule("deny", "*", "net:192.0.2.0/24"), rule("allow", "a", "user:bob"), rule("allow", "b", "local"))
    denied = rules.admit(FAR, "a")
    assert denied is not None
    assert denied.reason == "deny *"
    assert rules.admit(NEAR, "a") is None  # it could be bob
    assert rules.admit(NEAR, "c") is NO_OPINION  # nobody has a rule for that
    assert rules.admit(NEAR, "b") is not None
    assert rules.turns_away(FAR)
    assert not rules.turns_away(NEAR)
    assert not matcher(rule("allow", "a", "user:bob")).turns_away(FAR)
    assert matcher(rule("allow", "a", "net:10.0.0.0/8")).turns_away(FAR)


def test_rules_about_attributes_go_by_any_name_of_the_object() -> None:
    rules = matcher(
        rule("deny", "plugin.Base.secret", kind=Kind.ATTRIBUTE), rule("allow", "plugin.Thing", kind=Kind.ATTRIBUTE)
    )
    assert rules.has_attributes
    assert not rules.decide_attribute(BOB, FAR, ["plugin.Thing.secret", "plugin.Base.secret"]).allowed
    assert rules.decide_attribute(BOB, FAR, ["plugin.Thing.open", "plugin.Base.open"]).allowed
    assert rules.decide_attribute(BOB, FAR, ["other.Thing.open"]) is NO_OPINION
    assert not matcher(rule("allow", "*")).has_attributes


def test_ten_thousand_rules_about_one_method_are_not_all_looked_at() -> None:
    rules = matcher(*(rule("allow", "a.b", f"user:u{number}") for number in range(10_000)))
    section = rules.compiled[Kind.CALL][0][0]
    caller = rules.subjects(Identity("u9876", "password"), FAR)
    assert list(section._candidates(("a.b",), caller)) == [9876]
    assert rules.decide(Identity("u9876", "password"), FAR, "a.b").allowed


def test_rules_about_loopback_mean_this_machine_and_nobody_who_comes_by_a_proxy() -> None:
    by_proxy = Peer("tcp", "127.0.0.1", 7, local=False)
    rules = matcher(rule("allow", "a", "net:127.0.0.0/8"), rule("allow", "b", "net:0.0.0.0/0"))
    assert rules.decide(BOB, NEAR, "a").allowed and rules.decide(BOB, NEAR, "b").allowed
    assert rules.decide(BOB, by_proxy, "a") is NO_OPINION and rules.decide(BOB, by_proxy, "b").allowed
    assert not matcher(rule("deny", "a", "net:0.0.0.0/0")).decide(BOB, by_proxy, "a").allowed
