"""Signing in over a connection: what is sent, where to, and what is said when it is refused."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from anycore.cores.pump import Pump
from anycore.kernel.authentication import AuthenticationFault, Authenticator, Chain
from anycore.kernel.call import ANONYMOUS, Call, Credentials, Identity, Peer
from anycore.kernel.kernel import Kernel
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.registry import verify
from anycore.objects.connection import Connection
from anycore.rpyc import login
from anycore.rpyc.calling import RpycClient
from anycore.rpyc.connecting import connect, connect_socket, unix_connect
from anycore.rpyc.listening import serve_root
from anycore.rpyc.login import LoginError, check_private
from anycore.rpyc.root import PluginRoot
from anycore.rpyc.service import Service
from anycore.testing.linked import linked

ALICE = Identity("alice", "password")


class Word(Authenticator):
    name = "word"
    ended = False

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        if not credentials.authorization:
            return Identity("boss", "certificate") if peer.certificate else ANONYMOUS
        if self.ended or credentials.authorization not in ("Basic YWxpY2U6c2VjcmV0", "Bearer xyzzy"):
            raise AuthenticationFault("that is not the word")
        return Identity("boss", "certificate") if peer.certificate else ALICE


class Who(Plugin):
    @exposed(quick=True)
    def am_i(self, call: Call) -> str:
        return call.identity.name


@contextmanager
def rooted(chain: Chain | None, peer: Peer | None = None) -> Iterator[Connection]:
    kernel = Kernel(authentication=chain)
    kernel.registry.commit([verify(Who(), "test")])
    with linked(PluginRoot(kernel, peer or Peer(), asyncio.run)) as (client, _):
        yield client


def test_whoever_signs_in_is_known_from_then_on() -> None:
    word = Word()
    with rooted(Chain([word])) as client:
        assert client.root.who.am_i() == "anonymous"
        assert client.root.authenticate("alice", "secret") == "alice"
        assert client.root.who.am_i() == "alice"
        assert client.root.authenticate("", "xyzzy") == "alice"
        with pytest.raises(Exception, match="that is not the word"):
            client.root.authenticate("alice", "wrong")
        assert client.root.who.am_i() == "alice"  # as before: nothing was taken away
        word.ended = True
        with pytest.raises(Exception, match="that is not the word"):
            client.root.who.am_i()


@pytest.mark.parametrize("arguments", [(5, "x"), ("alice", ["secret"]), (None, None), ({"a": 1}, "x")])
def test_what_is_no_text_is_refused(arguments: tuple[Any, Any]) -> None:
    with rooted(Chain([Word()])) as client:
        with pytest.raises(Exception, match="give two texts"):
            client.root.authenticate(*arguments)
        assert client.root.who.am_i() == "anonymous"


def test_nobody_signs_in_where_nobody_has_a_name_or_where_a_certificate_has_said_it() -> None:
    with rooted(None) as client, pytest.raises(Exception, match="takes no credentials"):
        client.root.authenticate("alice", "secret")
    owned = Peer("tcp", "192.0.2.1", certificate=b"x")
    with (
        rooted(Chain([Word()]), owned) as client,
        pytest.raises(Exception, match="is boss's already, by its certificate"),
    ):
        client.root.authenticate("alice", "secret")


class Plain(Service):
    """A service of somebody else's, who has heard of no credentials."""


@pytest.fixture
def theirs() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2):
                connected, _ = listener.accept()
                pump = Pump(connected, serve_root(Peer(), Plain()))
                pump.begin()
                pump.serve()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        with connect_socket(socket.create_connection(listener.getsockname())):
            pass  # the last one, so that the thread ends
        thread.join(30)


def test_servers_of_others_say_so(theirs: int) -> None:
    with pytest.raises(LoginError, match="no server of Anycore"):
        connect("127.0.0.1", theirs, credentials=("alice", "secret"))


@pytest.mark.parametrize("dial", [lambda **given: connect("x", **given), lambda **given: unix_connect("x", **given)])
def test_a_password_and_a_token_are_one_too_many(dial: Any) -> None:
    with pytest.raises(ValueError, match="not both"):
        dial(credentials=("alice", "secret"), token="xyzzy")
    with pytest.raises(ValueError, match="not both"):
        RpycClient("rpyc://localhost", credentials=("alice", "secret"), token="xyzzy")


class Socket:
    """What asyncio gives in place of a socket."""

    def __init__(self, family: int, host: str) -> None:
        self.family = family
        self._host = host

    def getpeername(self) -> tuple[str, int]:
        return self._host, 1


def test_nothing_is_sent_in_the_clear_to_other_machines() -> None:
    for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        check_private(Socket(socket.AF_INET, host), "there", cleartext=False)
    check_private(Socket(socket.AF_UNIX, ""), "there", cleartext=False)
    far = Socket(socket.AF_INET, "192.0.2.1")
    check_private(far, "there", cleartext=True)
    with pytest.raises(LoginError, match="not encrypted"):
        check_private(far, "there", cleartext=False)
    assert login.arguments(None, "xyzzy") == ("", "xyzzy")
