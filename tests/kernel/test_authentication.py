from __future__ import annotations

import pytest

from anycore.kernel.authentication import AuthenticationFault, Authenticator, Chain
from anycore.kernel.call import ANONYMOUS, UNIDENTIFIED, Call, Credentials, Identity, Mode, Peer
from anycore.kernel.kernel import AsyncMethodError, Kernel
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.policy import AccessPolicy, Decision
from anycore.kernel.registry import verify
from anycore.wire.faults import ACCESS_DENIED, AUTHENTICATION_FAILED

ALICE = Identity("alice", "password")


class Word(Authenticator):
    """Takes the words that it is given, slowly at first."""

    name = "word"
    challenge = 'Word realm="test"'

    def __init__(self, words: dict[str, Identity]) -> None:
        self.words = words
        self.known: set[str] = set()
        self.asked = 0

    def quick(self, peer: Peer, credentials: Credentials) -> bool:
        return not credentials.authorization or credentials.authorization in self.known

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        self.asked += 1
        if not credentials.authorization:
            return None
        try:
            identity = self.words[credentials.authorization]
        except KeyError:
            raise AuthenticationFault("this is not the word") from None
        self.known.add(credentials.authorization)
        return identity


class Anybody(Authenticator):
    name = "anybody"

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        return ANONYMOUS


class Kit(Plugin):
    @exposed(quick=True)
    def who(self, call: Call) -> str:
        return call.identity.name

    @exposed
    async def wait(self, call: Call) -> str:
        return call.identity.name


class Rules(Plugin, AccessPolicy):
    def decide(self, identity: Identity, peer: Peer, method: str) -> Decision:
        return Decision(identity.kind == "password", identity.name)


@pytest.fixture
def word() -> Word:
    return Word({"xyzzy": ALICE, "narrow": Identity("narrow", "token", scopes=("kit.w*", "system.multicall"))})


@pytest.fixture
def kernel(word: Word) -> Kernel:
    kernel = Kernel(authentication=Chain([word, Anybody()]))
    kernel.registry.commit([verify(Kit(), "test")])
    return kernel


def call(name: str = "kit.who", authorization: str = "") -> Call:
    return Call(name, credentials=Credentials(authorization))


def test_the_first_that_knows_the_caller_wins(kernel: Kernel) -> None:
    assert kernel.handle(call(authorization="xyzzy")).unwrap() == "alice"
    assert kernel.handle(call()).unwrap() == "anonymous"


def test_wrong_credentials_do_not_make_an_anonymous_caller(kernel: Kernel) -> None:
    fault = kernel.handle(call(authorization="plugh")).fault
    assert fault is not None and fault.code == AUTHENTICATION_FAILED
    assert kernel.registry.methods["kit.who"].statistics.summary().count == 0


def test_a_chain_that_nobody_passes_says_what_there_is(word: Word) -> None:
    kernel = Kernel(authentication=Chain([word]))
    fault = kernel.handle(call()).fault
    assert fault is not None and fault.code == AUTHENTICATION_FAILED
    assert "word" in fault.message
    assert kernel.authentication is not None and kernel.authentication.challenges == ('Word realm="test"',)
    assert not kernel.decide(call()).allowed


def test_a_call_that_is_identified_is_not_asked_again(kernel: Kernel, word: Word) -> None:
    asked = Call("kit.who", identity=ALICE)
    assert kernel.mode(asked) is Mode.QUICK
    assert kernel.handle(asked).unwrap() == "alice"
    assert word.asked == 0


def test_who_calls_is_found_out_in_a_thread_where_that_takes_time_and_once(kernel: Kernel, word: Word) -> None:
    asked = call("kit.wait", "xyzzy")
    assert kernel.mode(asked) is Mode.BLOCKING
    with pytest.raises(AsyncMethodError):
        kernel.handle(asked)
    assert kernel.mode(asked) is Mode.ASYNC
    assert word.asked == 1
    assert kernel.mode(call("kit.who", "xyzzy")) is Mode.QUICK


def test_what_is_visible_depends_on_who_calls_also_before_the_call(word: Word) -> None:
    kernel = Kernel(authentication=Chain([word, Anybody()]))
    kernel.registry.commit([verify(Kit(), "test"), verify(Rules(), "test")])
    assert kernel.visible(call()) == []
    assert [method.name for method in kernel.visible(call(authorization="xyzzy"))] == ["kit.wait", "kit.who"]
    assert kernel.visible(call(authorization="plugh")) == []


def test_scopes_bound_what_a_caller_may_do(kernel: Kernel) -> None:
    kernel.registry.commit([verify(type("Other", (Kit,), {})(), "test")])
    assert kernel.handle(call("kit.who", "narrow")).unwrap() == "narrow"
    fault = kernel.handle(call("other.who", "narrow")).fault
    assert fault is not None and fault.code == ACCESS_DENIED
    assert [method.name for method in kernel.visible(call(authorization="narrow"))] == ["kit.wait", "kit.who"]


def test_without_a_chain_everybody_is_anonymous() -> None:
    kernel = Kernel()
    kernel.registry.commit([verify(Kit(), "test")])
    asked = call(authorization="plugh")
    assert asked.identity is UNIDENTIFIED
    assert kernel.handle(asked).unwrap() == "anonymous"


def test_credentials_are_not_shown() -> None:
    shown = repr(Credentials("Basic c2VjcmV0", "id=secret"))
    assert shown == "<credentials: authorization, cookie>"
    assert repr(Credentials()) == "<credentials: none>"
