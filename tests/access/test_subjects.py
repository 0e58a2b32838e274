"""Who a caller is, in the words of rules."""

from __future__ import annotations

import pytest

from anycore.access.subjects import Networks, prefixes, read_subject, subjects_of
from anycore.kernel.call import ANONYMOUS, UNIDENTIFIED, Identity


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("*", "*"),
        ("local", "local"),
        ("net:10.1.2.3", "net:10.1.2.3/32"),
        ("net:10.1.2.3/8", "net:10.0.0.0/8"),
        ("net:2001:DB8::1/32", "net:2001:db8::/32"),
        ("net:::ffff:10.0.0.0/104", "net:10.0.0.0/8"),
        ("net:::ffff:10.0.0.1", "net:10.0.0.1/32"),
        ("net:::/0", "net:::/0"),
        ("user:a:b", "user:a:b"),
        ("dns:WWW.Example.Org", "dns:www.example.org"),
        ("dn:/", "dn:/"),
        ("dn:/DC=org/CN=host/www.example.org", "dn:/DC=org/CN=host/www.example.org"),
    ],
)
def test_subjects_are_read(text: str, wanted: str) -> None:
    assert read_subject(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bob",
        "user:",
        "usr:bob",
        "net:",
        "net:10.0.0.0/33",
        "net:example.org",
        "dn:DC=org",
        "dn:/DC=org/",
        "dn:",
        "User:bob",
        "* ",
    ],
)
def test_what_is_no_subject(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_subject(text)


def test_a_distinguished_name_is_cut_between_components_only() -> None:
    assert prefixes("/DC=org/OU=x/CN=host/www.example.org") == [
        "/",
        "/DC=org",
        "/DC=org/OU=x",
        "/DC=org/OU=x/CN=host/www.example.org",
    ]
    assert prefixes("/2.5.4.3=a/CN=b") == ["/", "/2.5.4.3=a", "/2.5.4.3=a/CN=b"]
    assert prefixes("") == []


def test_nobody_is_more_than_he_has_shown() -> None:
    tricky = Identity(
        "*",
        "password",
        frozenset({"ops"}),
        "/CN=a",
        ("group:admins", "user:root", "local", "net:0.0.0.0/0", "dn:/", "cn:a", "DNS:B", "dns:B"),
    )
    assert subjects_of(tricky, {"lab"}) == {
        "*", "authenticated", "kind:password", "user:*", "group:ops", "group:lab", "dn:/", "dn:/CN=a", "cn:a", "dns:b",
    }  # fmt: skip


def test_the_anonymous_have_no_name_and_no_groups() -> None:
    assert subjects_of(ANONYMOUS, ()) == {"*", "anonymous", "kind:anonymous"}
    dressed = Identity("root", "anonymous", frozenset({"ops"}), "/CN=x", ("cn:x",))
    assert subjects_of(dressed, {"lab"}) == {"*", "anonymous", "kind:anonymous"}
    assert subjects_of(UNIDENTIFIED, {"lab"}) == {"*", "kind:unidentified"}


def test_networks() -> None:
    known = ["net:10.0.0.0/8", "net:10.1.0.0/16", "net:10.1.2.3/32", "net:2001:db8::/32", "net:0.0.0.0/0", "net:::/0"]
    networks = Networks([*known, "user:x"])
    assert set(networks.of("10.1.2.3")) == {*known[:3], "net:0.0.0.0/0"}
    assert set(networks.of("::ffff:10.1.9.9")) == {*known[:2], "net:0.0.0.0/0"}
    assert set(networks.of("2001:db8::1%eth0")) == {"net:2001:db8::/32", "net:::/0"}
    assert networks.of("") == ()
    assert networks.of("/run/socket") == ()
    assert not Networks(["user:x"])
