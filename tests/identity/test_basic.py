from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.identity.basic import is_basic, read_basic, write_basic
from anycore.kernel.authentication import AuthenticationFault


def encoded(pair: bytes) -> str:
    return "Basic " + base64.b64encode(pair).decode()


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (encoded(b"Aladdin:open sesame"), ("Aladdin", "open sesame")),  # RFC 7617 section 2
        (encoded("test:123£".encode()), ("test", "123£")),  # section 2.1
        (encoded("test:123£".encode("latin-1")), ("test", "123£")),
        (encoded(b"a:b:c:"), ("a", "b:c:")),
        (encoded(b"a:"), ("a", "")),
        ("bAsIc " + base64.b64encode(b"a:b").decode(), ("a", "b")),
        ("Basic   YTpi  ", ("a", "b")),
    ],
)
def test_name_and_password_are_read(authorization: str, expected: tuple[str, str]) -> None:
    assert is_basic(authorization)
    assert read_basic(authorization) == expected


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic ",
        "Basic !!!!",
        "Basic YTpi, Basic YTpi",
        "Basic YTp\u00fc",
        encoded(b"nocolon"),
        encoded(b":password"),
        encoded(b"a\0b:c"),
        encoded(b"a\nb:c"),
        encoded(b"a:b\0c"),
        encoded(b"a:b\r\nc"),
        encoded(b"a" * 257 + b":b"),
        encoded(b"a:" + b"b" * 4097),
        encoded(b"a" * 1_000_000 + b":b"),
    ],
)
def test_what_cannot_be_read_is_refused(authorization: str) -> None:
    with pytest.raises(AuthenticationFault) as caught:
        read_basic(authorization)
    assert caught.value.kind == "authentication-malformed"
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("authorization", ["", "Basi", "Bearer YTpi", "Basicc YTpi", "BasicYTpi"])
def test_other_schemes_are_others(authorization: str) -> None:
    assert not is_basic(authorization)


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=50), st.text(max_size=50))
def test_what_is_written_is_read(user: str, password: str) -> None:
    printable = user.isprintable() and not any(letter < " " or letter == "\x7f" for letter in password)
    try:
        written = write_basic(user, password)
    except (ValueError, UnicodeEncodeError):
        return
    if printable:
        assert read_basic(written) == (user, password)
    else:
        with pytest.raises(AuthenticationFault):
            read_basic(written)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_whatever_comes_is_read_or_refused(text: str) -> None:
    try:
        user, _ = read_basic(f"Basic {text}")
    except AuthenticationFault:
        return
    assert user


def test_a_name_with_a_colon_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="colon"):
        write_basic("a:b", "c")
