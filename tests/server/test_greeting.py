"""Listeners that let callers in by a function of their own, which gets the bare socket first."""

from __future__ import annotations

import socket
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from anycore.kernel.call import Call, Identity
from anycore.kernel.incidents import Incidents
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.registry import verify
from anycore.rpyc.connecting import connect_socket
from anycore.server.application import Server
from anycore.server.errors import StartupError
from anycore.server.greeting import greeter_of
from anycore.settings.sources import load_settings
from anycore.settings.tables import ListenSettings


class Who(Plugin):
    @exposed(quick=True)
    def quick(self, call: Call) -> str:
        return f"{call.identity.kind} {call.identity.name}"

    @exposed
    async def later(self, call: Call) -> str:
        return call.identity.name


def knock(sock: socket.socket) -> tuple[Any, Any]:
    """Let in whoever says a word of five letters that we know."""
    word = b""
    while len(word) < 5:
        word += sock.recv(5 - len(word)) or b"....."
    if word == b"alice":
        return sock, "alice"
    if word == b"nobod":
        return sock, None
    if word == b"ident":
        return sock, Identity("carol", "password")
    if word == b"wrong":
        return sock, {"CN": "x"}
    if word == b"other":
        return object(), "alice"
    raise PermissionError(f"{word!r} is not the word")


@pytest.fixture(autouse=True)
def _doors(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = types.ModuleType("doors_of_the_test")
    made.knock, made.nothing = knock, 5
    monkeypatch.setitem(sys.modules, "doors_of_the_test", made)


@pytest.fixture(params=["asyncio", "threaded", "pool"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    file = tmp_path / "anycore.toml"
    file.write_text(
        f"""
        [server]
        core = "{request.param}"
        [limits]
        handshake_time = 2.0
        [[listen]]
        url = "rpyc://127.0.0.1:0"
        authenticator = "doors_of_the_test:knock"
        """
    )
    ready = threading.Event()
    server = Server(load_settings(file=str(file), environment={}), lambda _: ready.set())
    thread = threading.Thread(target=server.run, kwargs={"signals": False})
    thread.start()
    try:
        assert ready.wait(30)
        server.kernel.registry.commit([verify(Who(), "test")])
        yield server
    finally:
        server.stop()
        thread.join(30)


def dial(server: Server, word: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", int(server.urls[0].rpartition(":")[2])), timeout=30)
    made.sendall(word)
    return made


@pytest.mark.parametrize(
    ("word", "who"), [(b"alice", "rpyc alice"), (b"nobod", "rpyc rpyc"), (b"ident", "password carol")]
)
def test_whoever_is_let_in_has_a_name(server: Server, word: bytes, who: str) -> None:
    with connect_socket(dial(server, word)) as connection:
        assert connection.root.who.quick() == who
        assert connection.root.who.later() == who.partition(" ")[2]


def test_others_are_closed_and_counted(server: Server) -> None:
    for word in (b"xxxxx", b"wrong", b"other"):
        with closing(dial(server, word)) as made:
            assert made.recv(1) == b""
    assert server.incidents.counts() == {"authentication-rpyc": 3}
    with connect_socket(dial(server, b"alice")) as connection:
        assert connection.root.who.later() == "alice"


def test_whoever_says_nothing_is_in_nobodys_way_and_closed_in_time(server: Server) -> None:
    silent = [dial(server, b"") for _ in range(40)]
    try:
        with connect_socket(dial(server, b"alice")) as connection:
            assert connection.root.who.later() == "alice"
        for made in silent:
            assert made.recv(1) == b""
    finally:
        for made in silent:
            made.close()


@pytest.mark.parametrize("name", ["doors_of_the_test:missing", "no_such_module_at_all:x", "doors_of_the_test:nothing"])
def test_a_function_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(StartupError, match="write module:name"):
        greeter_of(ListenSettings(url="rpyc://127.0.0.1:0", authenticator=name), Incidents(), None)
