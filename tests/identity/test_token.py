from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from anycore.identity.anonymous import AnonymousAuthenticator
from anycore.identity.token import TokenAuthenticator
from anycore.identity.tokens import Tokens, split
from anycore.kernel.authentication import AuthenticationFault
from anycore.kernel.call import NO_CREDENTIALS, Credentials, Identity, Peer
from anycore.store import open_store
from anycore.store.base import Store

PEER = Peer("tcp", "192.0.2.1", 7, local=False)


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("memory:") as store:
        yield store


@pytest.fixture
def tokens(store: Store, clock: Any) -> Tokens:
    return Tokens(store, clock)


@pytest.fixture
def door(tokens: Tokens) -> TokenAuthenticator:
    return TokenAuthenticator(lambda: tokens, realm="house")


def bearer(token: str) -> Credentials:
    return Credentials(f"Bearer {token}")


def refusal(door: TokenAuthenticator, token: str) -> str:
    with pytest.raises(AuthenticationFault) as caught:
        door.authenticate(PEER, bearer(token))
    assert caught.value.kind == "authentication-token"
    return caught.value.message


def test_whoever_has_a_token_is_its_user(tokens: Tokens, door: TokenAuthenticator) -> None:
    text, made = tokens.create("probe", groups=["ops"], scopes=["room.*"], note="cellar")
    found = door.authenticate(PEER, bearer(text))
    assert found == Identity("probe", "token", frozenset({"ops"}), names=(f"token:{made.id}",), scopes=("room.*",))
    assert door.authenticate(PEER, Credentials(f"bEARER {text}")) is found
    assert door.quick(PEER, bearer(text))
    assert door.challenge == 'Bearer realm="house"'
    assert [one.note for one in tokens] == ["cellar"]


def test_neither_the_store_nor_the_memory_has_the_secret(
    tokens: Tokens, store: Store, door: TokenAuthenticator
) -> None:
    text, _ = tokens.create("probe")
    door.authenticate(PEER, bearer(text))
    parts = split(text)
    assert parts is not None
    kept = repr(list(store.scan())) + repr(door._known._found)
    assert parts[0] in kept and parts[1] not in kept


def test_a_revoked_token_is_refused_at_once(tokens: Tokens, door: TokenAuthenticator) -> None:
    text, made = tokens.create("probe")
    door.authenticate(PEER, bearer(text))
    assert tokens.revoke(made.id)
    assert made.id in refusal(door, text)
    assert not tokens.revoke(made.id)


def test_a_token_ends(tokens: Tokens, door: TokenAuthenticator, clock: Any) -> None:
    text, made = tokens.create("probe", seconds=60.0)
    assert made.expires == clock.now + 60
    door.authenticate(PEER, bearer(text))
    clock.now += 60
    refusal(door, text)
    clock.now -= 1
    assert door.authenticate(PEER, bearer(text)) is not None


def test_another_secret_of_a_token_is_refused(tokens: Tokens, door: TokenAuthenticator) -> None:
    text, _ = tokens.create("probe")
    other, _ = tokens.create("probe")
    one, two = split(text), split(other)
    assert one is not None and two is not None
    door.authenticate(PEER, bearer(text))
    refusal(door, f"anycore_{one[0]}_{two[1]}")
    refusal(door, f"anycore_{'a' * 10}_{one[1]}")


@pytest.mark.parametrize(
    "text",
    ["anycore_", "anycore_x_y", "anycore_aaaaaaaaaa_" + "x" * 42, "anycore_" + "x" * 1_000_000, "anycore_\udcff"],
)
def test_what_has_not_the_form_of_a_token_is_refused(door: TokenAuthenticator, text: str) -> None:
    assert "has not the form" in refusal(door, text)


def test_two_tokens_in_one_field_are_none(tokens: Tokens, door: TokenAuthenticator) -> None:
    text, _ = tokens.create("probe")
    assert "has not the form" in refusal(door, f"{text}, Bearer {text}")


def test_whoever_shows_another_makers_token_is_told_how_those_of_this_server_look() -> None:
    with pytest.raises(
        AuthenticationFault, match=r"kind 'Bearer' as they were presented.*its own tokens begin with anycore_"
    ):
        AnonymousAuthenticator().authenticate(PEER, bearer("garbage"))


def test_what_is_no_token_of_ours_is_left_to_others(door: TokenAuthenticator) -> None:
    for credentials in (NO_CREDENTIALS, bearer("eyJhbGciOi"), Credentials("Basic YTpi"), Credentials("Beare")):
        assert door.authenticate(PEER, credentials) is None


def test_the_store_is_opened_by_the_first_token() -> None:
    def never() -> Tokens:
        raise AssertionError

    door = TokenAuthenticator(never)
    assert door.authenticate(PEER, NO_CREDENTIALS) is None


@pytest.mark.parametrize(
    ("user", "scopes"), [("", []), ("a\nb", []), ("a", ["room.(x|y)"]), ("a", [""]), ("a", ["room .x"])]
)
def test_tokens_that_there_cannot_be(tokens: Tokens, user: str, scopes: list[str]) -> None:
    with pytest.raises(ValueError, match=r"cannot be|no scope"):
        tokens.create(user, scopes=scopes)
