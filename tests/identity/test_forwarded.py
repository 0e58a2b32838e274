"""What proxies write into the fields that name an address, and what callers write there to pass for somebody else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.identity.forwarded import ForwardedError, named_in_forwarded, named_in_list
from anycore.identity.proxy import Proxies

PROXIES = Proxies(["10.0.0.1", "10.0.1.0/24", "2001:db8:ffff::/48"])
CALLER = ("192.0.2.60", 0)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("192.0.2.60", CALLER),
        ("  192.0.2.60\t", CALLER),
        ("192.0.2.60:4711", ("192.0.2.60", 4711)),
        ("192.0.2.60:99999", CALLER),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("2001:0DB8:0:0::1", ("2001:db8::1", 0)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
        ("::ffff:192.0.2.60", CALLER),
        ("[::ffff:192.0.2.60]:1", ("192.0.2.60", 1)),
        ("198.51.100.1, 192.0.2.60", CALLER),
        ("127.0.0.1, 192.0.2.60, 10.0.0.1", CALLER),
        ("127.0.0.1,192.0.2.60:5,10.0.1.7:9,[2001:db8:ffff::2]:7", ("192.0.2.60", 5)),
        ("garbage, ,,::::, 192.0.2.60", CALLER),  # the caller's own, which nobody asks for
        ("10.0.0.1", ("10.0.0.1", 0)),
        ("10.0.1.4, 10.0.0.1", ("10.0.1.4", 0)),
    ],
)
def test_the_last_address_that_is_no_proxys_is_the_callers(value: str, found: tuple[str, int]) -> None:
    assert named_in_list(value, PROXIES) == found


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "192.0.2.60,",
        "192.0.2.60, , 10.0.0.1",
        "unknown",
        "_hidden",
        "unix:",
        "localhost",
        "192.0.2",
        "192.0.2.060",
        "3221226044",
        "192.0.2.60:",
        "192.0.2.60:x",
        "192.0.2.60:-1",
        "192.0.2.60 10.0.0.1",
        "[192.0.2.60]",
        "[2001:db8::1",
        "[2001:db8::1]443",
        "2001:db8::1]",
        "fe80::1%eth0",
        "[fe80::1%eth0]:1",
        '"192.0.2.60"',
        "for=192.0.2.60",
        "١٩٢.0.2.60",
        "192.0.2.60\x00",
    ],
)
def test_what_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(ForwardedError, match="is no address"):
        named_in_list(value, PROXIES)


@pytest.mark.parametrize(
    ("value", "found"),
    [  # the first ones are the examples of RFC 7239
        ("for=192.0.2.60;proto=http;by=203.0.113.43", CALLER),
        ('For="[2001:db8:cafe::17]:4711"', ("2001:db8:cafe::17", 4711)),
        ("for=192.0.2.43, for=198.51.100.17", ("198.51.100.17", 0)),
        ('for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown, for=192.0.2.60', CALLER),
        ('for=192.0.2.43, for="192.0.2.60:47011";by=_x', ("192.0.2.60", 47011)),
        ('for="192.0.2.60:_port"', CALLER),
        ('FOR="192.0.2\\.60" ; proto=https', CALLER),
        (' \t for=192.0.2.60;;host="a, b; for=127.0.0.1\\"" ;', CALLER),
        ("for=127.0.0.1, for=192.0.2.60, for=10.0.0.1", CALLER),
        ('for="[::ffff:10.0.0.1]"', ("10.0.0.1", 0)),
    ],
)
def test_the_grammar_of_rfc_7239(value: str, found: tuple[str, int]) -> None:
    assert named_in_forwarded(value, PROXIES) == found


@pytest.mark.parametrize(
    "value",
    [
        "",
        "for",
        "for=",
        "192.0.2.60",
        "for=unknown",
        "for=_hidden",
        "proto=https",
        "for=192.0.2.60, proto=https",
        "for=192.0.2.60,",
        "for=127.0.0.1;for=192.0.2.60",
        "for=192.0.2.60:80",  # a colon has to be quoted
        "for=[2001:db8::1]",
        'for="2001:db8::1"',  # and an address of IPv6 is in brackets
        'for="[192.0.2.60]"',
        'for="[2001:db8::1"',
        'for="[2001:db8::1]x"',
        "for = 192.0.2.60",
        'for="192.0.2.60',
        'for="127.0.0.1"192.0.2.60',
        'for="127.0.0.1, for=192.0.2.60',  # a caller opens a quote, to hide in it what the proxy adds
        'for="127.0.0.1, for="[2001:db8::1]"',
        'for="127.0.0.1\\, for="[2001:db8::1]"',
        "for=192.0.2.60 for=127.0.0.1",
        "for=192.0.2.60\x00",
    ],
)
def test_what_the_grammar_does_not_have_is_refused(value: str) -> None:
    with pytest.raises(ForwardedError):
        named_in_forwarded(value, PROXIES)


@given(st.text(alphabet='for=;, "\\[]:.0129_a\t\x00é', max_size=60))
@settings(max_examples=200, deadline=None)
def test_nothing_that_a_caller_writes_takes_the_place_of_what_the_proxy_adds(written: str) -> None:
    assert named_in_list(f"{written}, 192.0.2.60", PROXIES) == CALLER
    for added in ("for=192.0.2.60", 'for="192.0.2.60:0"', 'by=_x;for=192.0.2.60;host="a"'):
        with contextlib.suppress(ForwardedError):
            assert named_in_forwarded(f"{written}, {added}", PROXIES) == CALLER


def test_long_fields_take_no_long_time() -> None:
    for value in (" " * 30_000 + "x", "for=" + "a" * 30_000 + '"', 'for="' + "\\" * 30_001, ";" * 30_000 + "="):
        with pytest.raises(ForwardedError):
            named_in_forwarded(value, PROXIES)
    assert named_in_list("," * 30_000 + "192.0.2.60", PROXIES) == CALLER
