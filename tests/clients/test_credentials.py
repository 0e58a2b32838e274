from __future__ import annotations

import pytest

from anycore.clients import aconnect, connect
from anycore.clients.credentials import authorization, with_authorization


def test_what_is_sent() -> None:
    assert authorization() == ""
    assert authorization(("Aladdin", "open sesame")) == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="  # RFC 7617 section 2
    assert authorization(("test", "123£")) == "Basic dGVzdDoxMjPCow=="  # section 2.1
    assert authorization(token="mF_9.B5f-4.1JqM") == "Bearer mF_9.B5f-4.1JqM"  # RFC 6750 section 2.1
    assert with_authorization(None, "") is None
    assert with_authorization({"A": "b"}, "x") == {"Authorization": "x", "A": "b"}
    assert with_authorization({"Authorization": "mine"}, "x") == {"Authorization": "mine"}


@pytest.mark.parametrize(
    ("credentials", "token", "message"),
    [
        (("a", "b"), "x", "not both"),
        (("a:b", "c"), "", "has a colon"),
        (None, "x\n", "remove them"),
        (None, "x y", "remove them"),
        (None, "ü", "remove them"),
    ],
)
def test_what_cannot_be_sent_is_refused_at_once(credentials: tuple[str, str] | None, token: str, message: str) -> None:
    for make in (connect, aconnect):
        with pytest.raises(ValueError, match=message):
            make("http://localhost", credentials=credentials, token=token)


def test_credentials_are_not_shown() -> None:
    with connect("http://localhost", credentials=("alice", "secret")) as client:
        assert "secret" not in repr(client)
