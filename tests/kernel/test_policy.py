from __future__ import annotations

import pytest

from anycore.kernel.call import ANONYMOUS, Call, Identity, Peer
from anycore.kernel.kernel import Kernel
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.policy import NO_OPINION, AccessPolicy, Decision, anybody, decide, nobody
from anycore.kernel.registry import verify
from anycore.wire.faults import ACCESS_DENIED, METHOD_NOT_FOUND

REMOTE = Peer.of_address(("192.0.2.1", 7))
YES = Decision(allowed=True, reason="yes")
NO = Decision(allowed=False, reason="no")


class Rule(Plugin, AccessPolicy):
    """Answers the same to all, and remembers the questions."""

    def __init__(self, name: str, answer: Decision) -> None:
        self.name = name  # type: ignore[misc]
        self.answer = answer
        self.asked: list[str] = []

    def decide(self, identity: Identity, peer: Peer, method: str) -> Decision:
        self.asked.append(method)
        return self.answer


class Broken(Plugin, AccessPolicy):
    def decide(self, identity: Identity, peer: Peer, method: str) -> Decision:
        raise LookupError(method)


class Room(Plugin):
    @exposed(aliases=("heat",))
    def celsius(self) -> int:
        return 20


def kernel_of(*plugins: Plugin) -> Kernel:
    kernel = Kernel()
    kernel.registry.commit(verify(plugin, "test") for plugin in plugins)
    return kernel


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        (Peer(), True),
        (Peer.of_address(("127.0.0.1", 7)), True),
        (Peer.of_address(("::1", 7, 0, 0)), True),
        (Peer.of_address(("::ffff:127.0.0.1", 7, 0, 0)), True),
        (Peer.of_address("/run/socket"), True),
        (REMOTE, False),
        (Peer.of_address(("::ffff:192.0.2.1", 7, 0, 0)), False),
        (Peer.of_address(("2001:db8::1", 7, 0, 0)), False),
    ],
)
def test_by_default_callers_on_this_machine_may_and_others_may_not(peer: Peer, allowed: bool) -> None:
    decision = decide((), ANONYMOUS, peer, "room.celsius")

    assert decision.allowed is allowed
    assert decision.reason.startswith("the default: callers on ")


def test_a_policy_takes_the_place_of_the_default() -> None:
    assert decide([Rule("a", YES)], ANONYMOUS, REMOTE, "x") is YES
    assert decide([Rule("a", NO)], ANONYMOUS, Peer(), "x") is NO


def test_any_denial_denies() -> None:
    last = Rule("c", YES)

    assert decide([Rule("a", YES), Rule("b", NO), last], ANONYMOUS, Peer(), "x") is NO
    assert last.asked == []


def test_an_error_in_a_policy_is_a_denial() -> None:
    decision = decide([Broken(), Rule("b", YES)], ANONYMOUS, Peer(), "x")

    assert decision == Decision(allowed=False, reason="the access policy Broken raised LookupError: x")


def test_a_denied_caller_cannot_tell_existing_methods_from_missing_ones(caplog: pytest.LogCaptureFixture) -> None:
    kernel = kernel_of(Room())
    answers = []
    for name in ("room.celsius", "room.missing"):
        fault = kernel.handle(Call(name, peer=REMOTE)).fault
        assert fault is not None
        answers.append((fault.code, fault.message.replace(name, "NAME"), fault.data))

    assert answers[0] == answers[1]
    assert answers[0][0] == ACCESS_DENIED
    assert "that no rule and no access policy allows them" in caplog.text  # the reason is for the log only
    assert kernel.registry.methods["room.celsius"].statistics.summary().count == 0


def test_a_denial_shows_what_the_peer_sent_harmlessly(caplog: pytest.LogCaptureFixture) -> None:
    fault = kernel_of(Room()).handle(Call("x\nforged line" + "y" * 10_000, peer=REMOTE)).fault

    assert fault is not None
    assert "\n" not in fault.message
    assert len(fault.message) < 300
    assert "\nforged" not in caplog.text


def test_a_missing_method_is_shown_harmlessly() -> None:
    fault = kernel_of(Room()).handle(Call("z" * 10_000)).fault

    assert fault is not None
    assert fault.code == METHOD_NOT_FOUND
    assert len(fault.message) < 300


def test_an_alias_is_judged_as_the_method_it_stands_for() -> None:
    rule = Rule("rule", YES)
    kernel = kernel_of(Room(), rule)
    kernel.handle(Call("heat"))
    kernel.handle(Call("room.celsius"))
    kernel.handle(Call("nothing.there"))

    assert rule.asked == ["room.celsius", "room.celsius", "nothing.there"]


def test_the_kernel_asks_the_policies_that_are_loaded_now() -> None:
    kernel = kernel_of(Room())
    assert kernel.decide(Call("room.celsius")).allowed

    kernel.registry.commit([verify(Rule("rule", NO), "test")])
    assert not kernel.decide(Call("room.celsius")).allowed

    kernel.registry.commit([], without=["rule"])
    assert kernel.decide(Call("room.celsius")).allowed


def test_a_caller_sees_what_it_may_call() -> None:
    class OnlyHeat(Plugin, AccessPolicy):
        def decide(self, identity: Identity, peer: Peer, method: str) -> Decision:
            return YES if method == "room.celsius" else NO

    class Other(Plugin):
        @exposed
        def hidden(self) -> int:
            return 1

    kernel = kernel_of(Room(), Other(), OnlyHeat())

    assert [method.name for method in kernel.visible(Call("any"))] == ["room.celsius"]
    assert kernel_of(Room()).visible(Call("any", peer=REMOTE)) == []


class ByAddress(Plugin, AccessPolicy):
    """Knows of addresses only; leaves all else to others."""

    by_address = True

    def __init__(self, name: str, answer: Decision | None) -> None:
        self.name = name  # type: ignore[misc]
        self.answer = answer

    def decide(self, identity: Identity, peer: Peer, method: str) -> Decision:
        return self.answer or YES

    def admit(self, peer: Peer, method: str) -> Decision | None:
        return self.answer


def test_who_has_no_opinion_leaves_it_to_the_others_and_at_last_to_the_default() -> None:
    silent = Rule("a", NO_OPINION)

    assert decide([silent, Rule("b", YES)], ANONYMOUS, REMOTE, "x") is YES
    assert decide([Rule("b", YES), silent], ANONYMOUS, REMOTE, "x") is YES
    assert decide([silent], ANONYMOUS, REMOTE, "x") == decide((), ANONYMOUS, REMOTE, "x")
    assert decide([silent], ANONYMOUS, REMOTE, "x", anybody).allowed
    assert not decide([silent], ANONYMOUS, Peer(), "x", nobody).allowed


@pytest.mark.parametrize(
    ("policies", "denied"),
    [
        ([ByAddress("a", None)], False),
        ([ByAddress("a", YES)], False),
        ([ByAddress("a", NO)], True),
        ([ByAddress("a", YES), ByAddress("b", NO)], True),
        ([ByAddress("a", None), ByAddress("b", NO)], True),
        ([ByAddress("a", NO_OPINION)], True),  # nobody could be allowed, so the default decides
        ([ByAddress("a", NO_OPINION), ByAddress("b", YES)], False),
        ([ByAddress("a", NO_OPINION), Rule("b", YES)], False),  # the other may allow it, knowing who it is
    ],
)
def test_what_the_address_decides_is_decided_before_anybody_is_asked_who_he_is(
    policies: list[Plugin], denied: bool
) -> None:
    asked: list[Peer] = []

    class Chain:
        welcome = None

        def quick(self, peer: Peer, credentials: object) -> bool:
            return True

        def authenticate(self, peer: Peer, credentials: object) -> Identity:
            asked.append(peer)
            return ANONYMOUS

    kernel = Kernel(authentication=Chain())  # type: ignore[arg-type]
    kernel.registry.commit(verify(plugin, "test") for plugin in [Room(), *policies])
    fault = kernel.handle(Call("room.celsius", peer=REMOTE)).fault

    assert (fault is not None) is denied
    assert len(asked) == (not denied)


def test_an_error_in_the_first_question_is_a_denial() -> None:
    class Wrong(ByAddress):
        def admit(self, peer: Peer, method: str) -> Decision | None:
            raise LookupError(method)

    fault = kernel_of(Room(), Wrong("wrong", YES)).handle(Call("heat")).fault
    assert fault is not None
    assert fault.message == "a caller at memory may not call 'heat'"


def test_the_servers_own_policies_come_before_those_of_plugins() -> None:
    rule = Rule("rule", YES)
    kernel = kernel_of(Room(), rule)
    kernel.door.guard([Rule("own", NO)])
    assert not kernel.decide(Call("heat")).allowed
    assert rule.asked == []
    assert not kernel.door.alone

    kernel.door.guard([Rule("own", NO_OPINION)], nobody)
    assert kernel.decide(Call("heat")).allowed
    kernel.registry.commit([], without=["rule"])
    assert kernel.door.alone
    assert not kernel.decide(Call("heat")).allowed
