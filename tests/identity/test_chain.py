from __future__ import annotations

import logging
from typing import Any

import pytest

from anycore.identity.anonymous import AnonymousAuthenticator
from anycore.identity.chain import GuardedChain
from anycore.identity.throttle import Throttle
from anycore.kernel.authentication import AuthenticationFault, Authenticator
from anycore.kernel.call import ANONYMOUS, NO_CREDENTIALS, Credentials, Identity, Peer
from anycore.kernel.incidents import Incidents

PEER = Peer("tcp", "192.0.2.1", 7, local=False)


class Word(Authenticator):
    name = "word"

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        if credentials.authorization.startswith("Word "):
            raise AuthenticationFault("no", kind="authentication-word", user="alice")
        return None


@pytest.fixture
def chain(clock: Any) -> GuardedChain:
    return GuardedChain([Word(), AnonymousAuthenticator()], Throttle(attempts=2, clock=clock), Incidents())


def test_failures_are_counted_logged_and_slowed_down(
    chain: GuardedChain, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def attempt() -> AuthenticationFault:
        with pytest.raises(AuthenticationFault) as caught:
            chain.authenticate(PEER, Credentials("Word xyzzy"))
        return caught.value

    with caplog.at_level(logging.WARNING):
        assert [attempt().retry_after for _ in range(4)] == [0, 0, 0, 1]
    assert chain.incidents.counts() == {"authentication-word": 4}
    assert "192.0.2.1:7: no (as 'alice')" in caplog.text and "xyzzy" not in caplog.text
    clock.now += 60
    assert attempt().retry_after == 0


def test_whoever_presents_nothing_is_anonymous(chain: GuardedChain) -> None:
    assert chain.authenticate(PEER, NO_CREDENTIALS) is ANONYMOUS
    assert chain.authenticate(PEER, Credentials(cookie="theme=dark")) is ANONYMOUS
    assert chain.quick(PEER, NO_CREDENTIALS)
    assert chain.incidents.counts() == {}


def test_whoever_presents_what_nobody_knows_is_refused(chain: GuardedChain) -> None:
    with pytest.raises(AuthenticationFault, match="of the kind 'Negotiate'"):
        chain.authenticate(PEER, Credentials("Negotiate abc"))
    assert chain.incidents.counts() == {"authentication-unknown": 1}


def test_to_present_nothing_is_no_guess(clock: Any) -> None:
    chain = GuardedChain([Word()], Throttle(attempts=1, clock=clock), Incidents())
    for _ in range(5):
        with pytest.raises(AuthenticationFault) as caught:
            chain.authenticate(PEER, NO_CREDENTIALS)
        assert not caught.value.retry_after
    assert chain.throttle.wait(PEER) == 0
