"""The registry's datagrams: those of the original's client, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rpyc.core import brine as original

from anycore.testing.codec import check_codec
from anycore.wire import brine, registry
from anycore.wire.errors import LocalProtocolError, RemoteProtocolError
from anycore.wire.faults import PARSE_ERROR
from anycore.wire.registry import ListNames, Query, Register, Request, Server, Unregister

# Sent by the client of rpyc 6.0.2.
REQUESTS: list[tuple[str, Request]] = [
    ("12080d52505943080e05515545525910080c464f4f", Query("FOO")),
    ("12080d52505943080d4c495354101000", ListNames()),
    (
        "12080d52505943080e0852454749535445521111080c464f4f080c42415216053138383132",
        Register(("FOO", "BAR"), 18812),
    ),
    ("12080d52505943080e0a554e52454749535445521016053138383132", Unregister(18812)),
]


def refused(value: Any, why: str | None = None) -> None:
    data = value if type(value) is bytes else brine.dump(value)
    with pytest.raises(RemoteProtocolError, match=why) as caught:
        registry.decode_request(data)
    assert caught.value.code == PARSE_ERROR


@pytest.mark.parametrize(("text", "request_"), REQUESTS)
def test_requests_are_those_of_the_original(text: str, request_: Request) -> None:
    data = bytes.fromhex(text)
    assert registry.encode_request(request_) == data
    assert registry.decode_request(data) == request_
    for end in range(len(data)):
        refused(data[:end])
    refused(data + b"P", "behind the value")


def test_requests_in_other_letters_and_for_unix_sockets() -> None:
    assert registry.decode_request(brine.dump(("RPYC", "query", ("foo",)))) == Query("FOO")
    assert registry.decode_request(brine.dump(("RPYC", "List", (("10.0.0.1",),)))) == ListNames("10.0.0.1")
    assert registry.decode_request(brine.dump(("RPYC", "register", (("a",), "/run/s")))) == Register(("A",), "/run/s")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (5, "RPYC"),
        (("RPYX", "QUERY", ("a",)), "RPYC"),
        (("RPYC", 5, ("a",)), "RPYC"),
        (("RPYC", "QUERY"), "RPYC"),
        (("RPYC", "REBOOT", ()), "'REBOOT'; QUERY, LIST, REGISTER or UNREGISTER"),
        (("RPYC", "QUERY", "a"), r"1 argument"),
        (("RPYC", "QUERY", ()), r"1 argument"),
        (("RPYC", "QUERY", (5,)), "a name"),
        (("RPYC", "QUERY", ("",)), "a name"),
        (("RPYC", "LIST", (None,)), "one address or None"),
        (("RPYC", "LIST", ((5,),)), "a name or an address"),
        (("RPYC", "REGISTER", (("a",),)), r"2 argument"),
        (("RPYC", "REGISTER", ("a", 5)), "a tuple of names"),
        (("RPYC", "REGISTER", ((5,), 5)), "a name"),
        (("RPYC", "REGISTER", (("a",), 0)), "a port"),
        (("RPYC", "REGISTER", (("a",), 65536)), "a port"),
        (("RPYC", "REGISTER", (("a",), True)), "a port"),
        (("RPYC", "REGISTER", (("a",), "")), "a port"),
        (("RPYC", "UNREGISTER", (None,)), "a port"),
        (("RPYC", "UNREGISTER", (10**100,)), "more than 6 digits"),
        (("RPYC", "QUERY", ("a" * 1500,)), "1522 bytes; at most 1500"),
        (("RPYC", "QUERY", ((((("a",),),),),)), "deeper"),
        (b"\xff", "no tag"),
        (b"", "in the middle"),
    ],
)
def test_bad_requests_are_refused(value: Any, why: str) -> None:
    refused(value, why)


def test_replies_are_those_of_the_original() -> None:
    servers = [Server("1.2.3.4", 18812), Server("::1", "/run/s")]
    data = registry.encode_servers(servers)
    assert data == original.dump((("1.2.3.4", 18812), ("::1", "/run/s")))
    assert registry.decode_servers(data) == tuple(servers)
    assert registry.encode_names(["FOO", "BAR"]) == original.dump(("FOO", "BAR"))
    assert registry.decode_names(original.dump(("FOO", "BAR"))) == ("FOO", "BAR")
    assert registry.encode_names(None) == original.dump(None)
    assert registry.decode_names(original.dump(None)) is None
    assert registry.encode_done() == original.dump("OK")
    registry.decode_done(original.dump("OK"))


@pytest.mark.parametrize(
    ("decode", "values"),
    [
        (registry.decode_servers, [None, "OK", (1,), (("a", 1, 2),), ((1, 1),), (("a", 0),)]),
        (registry.decode_names, [5, (5,), ("",)]),
        (registry.decode_done, [None, "ok", ()]),
    ],
)
def test_bad_replies_are_refused(decode: Callable[[bytes], object], values: list[Any]) -> None:
    for value in values:
        with pytest.raises(RemoteProtocolError, match="was expected"):
            decode(brine.dump(value))


def test_what_does_not_fit_is_left_out_of_replies_and_refused_in_requests() -> None:
    servers = [Server(f"10.0.{number}.1", 20_000 + number) for number in range(255)]
    data = registry.encode_servers(servers)
    found = registry.decode_servers(data)
    assert 1400 < len(data) <= 1500
    assert found == tuple(servers[: len(found)])
    names = [f"SERVICE_{number}" for number in range(3000)]
    data = registry.encode_names(names)
    listed = registry.decode_names(data)
    assert listed is not None
    assert 14_900 < len(data) <= 15_000
    assert listed == tuple(names[: len(listed)])
    with pytest.raises(LocalProtocolError, match=r"REGISTER takes 1[0-9]{4} bytes"):
        registry.encode_request(Register(tuple(names[:1000]), 5))


def test_mutations_are_decoded_or_refused() -> None:
    examples = [bytes.fromhex(text) for text, _ in REQUESTS]
    tokens = [b"\x15\xff\xff\xff\xff", b"\x00", b"\x02", b"\x10", b"\x11", b"\x16\x0599999", b"\x10" * 50]
    check_codec(
        registry.decode_request, examples, error=RemoteProtocolError, tokens=tokens, mutations=10_000, complete=True
    )
    replies = [
        registry.encode_servers([Server("1.2.3.4", 18812), Server("a", "/b")]),
        registry.encode_names(["A", "B"]),
        registry.encode_names(None),
        registry.encode_done(),
    ]
    for decode, example in (
        (registry.decode_servers, replies[0]),
        (registry.decode_names, replies[1]),
        (registry.decode_names, replies[2]),
        (registry.decode_done, replies[3]),
    ):
        check_codec(
            decode, [example], error=RemoteProtocolError, tokens=[*tokens, *replies], mutations=3000, complete=True
        )


ports = st.integers(1, 65535) | st.text(min_size=1, max_size=20)
names = st.text("ABCXYZ_", min_size=1, max_size=20)
requests = (
    st.builds(Query, names)
    | st.builds(ListNames, st.none() | names)
    | st.builds(Register, st.lists(names, max_size=9).map(tuple), ports)
    | st.builds(Unregister, ports)
)


@settings(max_examples=100, deadline=None)
@given(requests)
def test_requests_come_back(request_: Request) -> None:
    assert registry.decode_request(registry.encode_request(request_)) == request_
