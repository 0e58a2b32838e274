"""What attackers try with HTTP to be taken for somebody: each on a real conversation, with the bytes as they are sent."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from anycore.conversations.http import HttpConversation
from anycore.conversations.site import HttpSite
from anycore.identity.anonymous import AnonymousAuthenticator
from anycore.identity.chain import GuardedChain
from anycore.identity.forwarding import Forwarding
from anycore.identity.password import PasswordAuthenticator
from anycore.identity.password_file import PasswordFile
from anycore.identity.proxy import Proxies, ProxyAuthenticator, ProxyHeaders
from anycore.identity.throttle import Throttle
from anycore.kernel.call import Call, Peer
from anycore.kernel.incidents import Incidents
from anycore.kernel.kernel import Kernel
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.policy import anybody
from anycore.kernel.registry import verify
from anycore.wire.http1 import Response, ResponseParser

BODY = b'{"jsonrpc": "2.0", "id": 1, "method": "who.am_i"}'
STRANGER = Peer("tcp", "192.0.2.1", 7, local=False)
PROXY = Peer("tcp", "192.0.2.7", 7, local=False)


class Who(Plugin):
    @exposed(quick=True)
    def am_i(self, call: Call) -> str:
        return f"{call.identity.kind} {call.identity.name}"


class Door:
    def __init__(self, file: PasswordFile) -> None:
        self.incidents = Incidents()
        throttle = Throttle(attempts=1000)
        headers = ProxyHeaders("X-User", "X-Groups")
        chain = GuardedChain(
            [
                ProxyAuthenticator(Proxies(["192.0.2.7"]), headers),
                PasswordAuthenticator(file, throttle),
                AnonymousAuthenticator(),
            ],
            throttle,
            self.incidents,
        )
        kernel = Kernel(authentication=chain)
        kernel.registry.commit([verify(Who(), "test")])
        kernel.door.guard((), anybody)
        forwarding = Forwarding(["192.0.2.7"], names=headers.names())
        self.site = HttpSite(kernel, incidents=self.incidents, forwarding=forwarding)

    def send(self, *lines: bytes, peer: Peer = STRANGER) -> list[Response]:
        head = [b"POST /jsonrpc HTTP/1.1", b"Host: localhost", b"Content-Type: application/json", *lines]
        head.append(b"Content-Length: %d" % len(BODY))
        return self.raw(b"\r\n".join(head) + b"\r\n\r\n" + BODY, peer)

    def raw(self, data: bytes, peer: Peer = STRANGER) -> list[Response]:
        conversation = HttpConversation(peer, self.site)
        sent = b""
        jobs = list(conversation.feed(data))
        while jobs:
            job: Any = jobs.pop(0)
            job.run()
            jobs.extend(conversation.finish(job))
        sent += conversation.take()
        parser = ResponseParser()
        for _ in range(3):
            parser.expect("POST")
        return parser.feed(sent)

    def who(self, *lines: bytes, peer: Peer = STRANGER) -> str:
        (response,) = self.send(*lines, peer=peer)
        assert response.status == 200, response
        return str(json.loads(response.body)["result"])

    def status(self, *lines: bytes, peer: Peer = STRANGER) -> int:
        (response,) = self.send(*lines, peer=peer)
        assert b"result" not in response.body
        return response.status


@pytest.fixture
def door(file: PasswordFile) -> Door:
    return Door(file)


def field(user: str, password: str, encoding: str = "utf-8") -> bytes:
    return b"Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode(encoding))


ALICE = field("alice", "wonder:land")


def test_the_door_is_open_to_those_who_are_known(door: Door) -> None:
    assert door.who() == "anonymous anonymous"
    assert door.who(ALICE) == "password alice"
    assert door.who(b"X-User: carol", peer=PROXY) == "proxy carol"


@pytest.mark.parametrize(
    "lines",
    [
        [ALICE, ALICE],
        [ALICE, field("bob", "wrong")],
        [field("bob", "wrong"), ALICE],
        [b"Authorization: Bearer x", ALICE],
        [ALICE.lower().replace(b"authorization", b"AUTHORIZATION"), ALICE],
    ],
)
def test_two_authorization_fields_are_refused(door: Door, lines: list[bytes]) -> None:
    assert door.status(*lines) == 400


@pytest.mark.parametrize(
    "line",
    [
        ALICE.replace(b"Basic ", b"Basic\r\n "),  # obs-fold (RFC 9112 section 5.2)
        b"X-Other: x\r\n " + ALICE,
        ALICE.replace(b"Authorization:", b"Authorization :"),  # RFC 9112 section 5.1
        b" " + ALICE,
        ALICE.replace(b"Authorization", b"Authorization\0"),
        ALICE + b"\0",
        ALICE.replace(b"Basic ", b"Basic \n"),
        b"X: y\n" + ALICE,
        b"X: y\r" + ALICE,
    ],
)
def test_fields_that_some_read_otherwise_are_refused(door: Door, line: bytes) -> None:
    assert door.status(line) == 400


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: Basic",
        b"Authorization: Basic ",
        b"Authorization: " + ALICE.partition(b"Basic ")[2],
        b"Authorization: Basic " + ALICE.partition(b"Basic ")[2] + b", Basic YTpi",
        b"Authorization: Negotiate YTpi",
        b'Authorization: Digest username="alice"',
        b"Authorization: x",
        field("alice", "wrong"),
        field("Alice", "wonder:land"),
        field("alice\0", "wonder:land"),
        field("alice\n", "wonder:land"),
        field("alice", "wonder"),
        field("alice", ""),
        field("", "wonder:land"),
        field("anonymous", ""),
        field("root", "root"),
    ],
)
def test_wrong_credentials_make_nobody_and_not_an_anonymous_caller(door: Door, line: bytes) -> None:
    assert door.status(line) == 401
    assert sum(door.incidents.counts().values()) == 1


def test_an_empty_field_presents_nothing(door: Door) -> None:
    assert door.who(b"Authorization:") == "anonymous anonymous"


def test_a_name_of_a_megabyte_costs_little(door: Door, checked: list[str]) -> None:
    assert door.status(b"Authorization: Basic " + base64.b64encode(b"a" * 1_000_000 + b":b")) == 431
    assert door.status(b"Authorization: Basic " + base64.b64encode(b"a" * 5000 + b":b")) == 401
    assert checked == []


def test_an_unknown_name_costs_what_a_wrong_password_costs(door: Door, checked: list[str]) -> None:
    for line in (field("alice", "wrong"), field("nobody", "wrong"), field("x" * 256, "wrong")):
        before = len(checked)
        assert door.status(line) == 401
        assert len(checked) == before + 1
    parameters = {hashed.rpartition("$")[0].rpartition("$")[0] for hashed in checked}
    assert len(parameters) == 1


def test_passwords_may_have_colons_and_any_letters(door: Door) -> None:
    assert door.who(field("bob", "ü")) == "password bob"
    assert door.who(field("bob", "ü", "latin-1")) == "password bob"


@pytest.mark.parametrize(
    "lines",
    [
        [b"X-User: root"],
        [b"x-uSER: root"],
        [b"X-Groups: wheel"],
        [b"X-User:"],
        [ALICE, b"X-User: root"],
        [b"X-Forwarded-For: 192.0.2.7", b"X-User: root"],
        [b"Forwarded: for=192.0.2.7", b"X-User: root"],
        [b"X-Real-IP: 192.0.2.7", b"X-User: root"],
    ],
)
def test_only_a_listed_proxy_may_say_who_called_it(door: Door, lines: list[bytes]) -> None:
    assert door.status(*lines) == 401
    assert door.incidents.counts() == {"authentication-proxy": 1}


def test_fields_that_a_program_could_take_for_the_same_are_not_the_same(door: Door) -> None:
    assert door.who(b"X_User: root") == "anonymous anonymous"  # WSGI and CGI make one name of both


def test_two_names_from_a_proxy_are_not_one_of_them(door: Door) -> None:
    assert door.who(b"X-User: root", b"X-User: carol", peer=PROXY) == "proxy root, carol"


def test_cookies_are_no_names(door: Door) -> None:
    assert door.who(b"Cookie: user=root; Authorization=" + ALICE) == "anonymous anonymous"
    assert door.who(b"Cookie: a=b\x01"[:-1], b"Cookie: user=root") == "anonymous anonymous"


def test_what_one_request_presents_does_not_count_for_the_next(door: Door) -> None:
    head = (
        b"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        % len(BODY)
    )
    responses = door.raw(head + ALICE + b"\r\n\r\n" + BODY + head + b"\r\n" + BODY)
    assert [b"alice" in response.body for response in responses] == [True, False]


def test_a_smuggled_request_is_not_read_with_the_credentials_of_another(door: Door) -> None:
    inner = b"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\n" + ALICE + b"\r\nContent-Length: 0\r\n\r\n"
    data = (
        b"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner
    )
    (response,) = door.raw(data)
    assert response.status == 400
