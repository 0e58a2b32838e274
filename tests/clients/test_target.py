"""What a client's URL says."""

from __future__ import annotations

import pytest

from anycore.clients.target import parse_target


@pytest.mark.parametrize(
    ("url", "wire", "host_header", "path", "tls"),
    [
        ("http://host", "xmlrpc", "host", "/RPC2", False),
        ("http://host/", "xmlrpc", "host", "/", False),
        ("https://host:443/a%20b?c=d%26", "xmlrpc", "host", "/a%20b?c=d%26", True),
        ("https://host:80", "xmlrpc", "host:80", "/RPC2", True),
        ("xmlrpc+http://HOST:8080/clarens/", "xmlrpc", "host:8080", "/clarens/", False),
        ("jsonrpc+http://127.0.0.1:6789", "jsonrpc", "127.0.0.1:6789", "/jsonrpc", False),
        ("jsonrpc+https://[::1]:6789/x", "jsonrpc", "[::1]:6789", "/x", True),
        ("http://b\u00fccher.example/\u00e9 \u00e8?\u00e0", "xmlrpc", "xn--bcher-kva.example",
         "/%C3%A9%20%C3%A8?%C3%A0", False),
        ("http://host#fragment", "xmlrpc", "host", "/RPC2", False),
    ],
)  # fmt: skip
def test_reads_urls(url: str, wire: str, host_header: str, path: str, tls: bool) -> None:
    target = parse_target(url)
    assert (target.wire, target.host_header, target.path, target.tls) == (wire, host_header, path, tls)
    assert target.authorization == ""


@pytest.mark.parametrize(
    ("url", "wire", "socket", "path"),
    [
        ("unix+http:///run/any.sock", "xmlrpc", "/run/any.sock", "/RPC2"),
        ("unix+jsonrpc+http:///run/a%20b.sock", "jsonrpc", "/run/a b.sock", "/jsonrpc"),
        ("jsonrpc+unix+http://%2Frun%2FAny.sock", "jsonrpc", "/run/Any.sock", "/jsonrpc"),
        ("unix+http://%2Frun%2Fany.sock/clarens/", "xmlrpc", "/run/any.sock", "/clarens/"),
    ],
)
def test_reads_urls_of_unix_sockets(url: str, wire: str, socket: str, path: str) -> None:
    target = parse_target(url)
    assert (target.wire, target.socket, target.path, target.host_header) == (wire, socket, path, "localhost")


def test_credentials_are_kept_out_of_sight() -> None:
    target = parse_target("http://Aladdin:open%20sesame@host:1/x")
    assert target.authorization == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert target.url == "http://host:1/x"
    assert "QWx" not in repr(target)
    assert "sesame" not in repr(target)
    with pytest.raises(ValueError, match=r"^http:///x: ") as caught:
        parse_target("http://name:secret@/x")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["unix+http:///run/any.sock", "unix+jsonrpc+http://%2Frun%2Fany.sock/x"])
def test_a_url_is_shown_as_it_was_given(url: str) -> None:
    assert parse_target(url).url == url
    with pytest.raises(ValueError, match=r"^jsonrpc\+unix:///run/any\.sock: unknown scheme"):
        parse_target("jsonrpc+unix:///run/any.sock")


@pytest.mark.parametrize(
    "url",
    [
        "host:8080", "", "/RPC2", "ftp://host", "rpyc://host", "http+jsonrpc://host", "xmlrpc+jsonrpc+http://host",
        "unix+unix+http:///x", "unix+https:///run/any.sock", "unix+http://", "unix+http://run/any.sock", "http://",
        "http://:80", "http://host:99999", "http://host:0", "http://host:x", "http://a b/",
    ],
)  # fmt: skip
def test_refuses_what_is_no_such_url(url: str) -> None:
    with pytest.raises(ValueError, match="give "):
        parse_target(url)
