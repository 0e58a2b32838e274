"""Whole servers that want to know who calls: settings, listeners, every wire."""

from __future__ import annotations

import base64
import http.client
import threading
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from anycore.clients import Fault, connect
from anycore.identity.password_file import User, editing, write_users
from anycore.kernel.call import Call
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.registry import verify
from anycore.rpyc import aio
from anycore.rpyc.connecting import connect as rpyc_connect
from anycore.rpyc.connecting import unix_connect
from anycore.rpyc.login import LoginError
from anycore.server.application import Server
from anycore.server.errors import StartupError
from anycore.settings.sources import load_settings
from anycore.wire.faults import AUTHENTICATION_FAILED

CORES = ["asyncio", "threaded", "pool"]


class Who(Plugin):
    @exposed(quick=True)
    def quick(self, call: Call) -> list[Any]:
        return [call.identity.name, call.identity.kind, sorted(call.identity.groups)]

    @exposed
    def slow(self, call: Call) -> str:
        return call.identity.name

    @exposed
    async def later(self, call: Call) -> str:
        return call.identity.name


@contextmanager
def serving(text: str, folder: Path) -> Iterator[Server]:
    file = folder / "anycore.toml"
    file.write_text(text)
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


def cheap(password: str) -> str:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    path = tmp_path / "passwords"
    write_users(path, {"alice": User("alice", cheap("wonder:land"), ("ops",))})
    return path


@pytest.fixture(params=CORES)
def server(request: pytest.FixtureRequest, tmp_path: Path, passwords: Path) -> Iterator[Server]:
    text = f"""
        [server]
        core = "{request.param}"
        [authentication]
        password_file = "{passwords}"
        realm = "test"
        [[listen]]
        url = "http://127.0.0.1:0"
        [[listen]]
        url = "rpyc://127.0.0.1:0"
        [[listen]]
        url = "unix+rpyc://{tmp_path}/rpyc.sock"
        [[listen]]
        url = "unix+http://{tmp_path}/http.sock"
        """
    with serving(text, tmp_path) as server:
        yield server


def port(server: Server, index: int = 1) -> int:
    return int(server.urls[index].rpartition(":")[2])


def ask(
    server: Server, body: str, *headers: tuple[str, str], path: str = "/jsonrpc", method: str = "POST"
) -> tuple[int, dict[str, list[str]], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port(server, 0), timeout=30)
    try:
        connection.putrequest(method, path)
        if method == "POST":
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(body)))
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders(body.encode())
        response = connection.getresponse()
        found: dict[str, list[str]] = {}
        for name, value in response.getheaders():
            found.setdefault(name.lower(), []).append(value)
        return response.status, found, response.read()
    finally:
        connection.close()


def basic(user: str, password: str) -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


QUICK = '{"jsonrpc": "2.0", "id": 7, "method": "who.quick"}'


def test_callers_are_known_over_http(server: Server) -> None:
    for scheme in ("", "jsonrpc+"):
        url = scheme + server.urls[0]
        with connect(url) as client:
            assert client.who.quick() == ["anonymous", "anonymous", []]
        with connect(url, credentials=("alice", "wonder:land")) as client:
            assert client.who.quick() == ["alice", "password", ["ops"]]
            assert client.who.slow() == client.who.later() == "alice"
            parts = client.call("system.multicall", [{"methodName": "who.slow", "params": []}] * 2)
            assert parts == [["alice"], ["alice"]]
    proxy = xmlrpc.client.ServerProxy(server.urls[0].replace("//", "//alice:wonder%3Aland@"))
    with proxy:
        assert proxy.who.later() == "alice"


def test_a_wrong_password_is_a_401_and_a_fault(server: Server) -> None:
    status, headers, body = ask(server, QUICK, basic("alice", "wrong"))
    assert status == 401
    assert headers["www-authenticate"] == ['Bearer realm="test"', 'Basic realm="test", charset="UTF-8"']
    assert b'"id":7' in body and str(AUTHENTICATION_FAILED).encode() in body
    with connect(server.urls[0], credentials=("alice", "wrong")) as client, pytest.raises(Fault) as caught:
        client.who.quick()
    assert caught.value.code == AUTHENTICATION_FAILED
    url = server.urls[0].replace("//", "//alice:wrong@")
    with xmlrpc.client.ServerProxy(url) as theirs, pytest.raises(xmlrpc.client.ProtocolError) as refused:
        theirs.who.quick()
    assert refused.value.errcode == 401
    assert server.kernel.registry.methods["who.quick"].statistics.summary().count == 0
    assert server.incidents.counts()["authentication-password"] == 3


def test_who_guesses_has_to_wait(server: Server) -> None:
    statuses = [ask(server, QUICK, basic("alice", f"guess {number}"))[0] for number in range(7)]
    assert statuses[:6] == [401] * 6 and statuses[6] == 429
    status, headers, _ = ask(server, QUICK, basic("alice", "wonder:land"))
    assert status == 429 and int(headers["retry-after"][0]) >= 1
    assert ask(server, QUICK)[0] == 200  # whoever presents nothing is not concerned


def test_a_batch_is_authenticated_once_whatever_is_in_it(server: Server) -> None:
    batch = "[" + ",".join(QUICK for _ in range(50)) + "]"
    status, _, body = ask(server, batch, basic("alice", "wrong"))
    assert status == 401 and body.count(str(AUTHENTICATION_FAILED).encode()) == 50
    assert server.incidents.counts() == {"authentication-password": 1}
    status, _, body = ask(server, batch, basic("alice", "wonder:land"))
    assert status == 200 and body.count(b'"alice"') == 50


def test_a_large_or_compressed_body_of_a_stranger_is_not_read(server: Server) -> None:
    status, _, body = ask(server, " " * 100_000 + QUICK, basic("alice", "wrong"))
    assert status == 401 and str(AUTHENTICATION_FAILED).encode() in body
    status, _, body = ask(server, "this is no gzip", basic("alice", "wrong"), ("Content-Encoding", "gzip"))
    assert status == 401
    status, _, _ = ask(server, "this is no json", basic("alice", "wrong"))
    assert status == 401
    assert ask(server, " " * 100_000 + QUICK, basic("alice", "wonder:land"))[0] == 200


def test_a_page_asks_who_it_is(server: Server) -> None:
    assert ask(server, "", method="GET", path="/")[0] == 200
    status, headers, body = ask(server, "", basic("alice", "wrong"), method="GET", path="/")
    assert status == 401 and "www-authenticate" in headers and b"is wrong" in body
    assert ask(server, "", basic("alice", "wonder:land"), method="GET", path="/")[0] == 200


def test_a_password_that_is_changed_counts_at_once(server: Server, passwords: Path) -> None:
    with connect(server.urls[0], credentials=("alice", "wonder:land")) as client:
        assert client.who.slow() == "alice"
        with editing(passwords) as users:
            users["alice"] = User("alice", cheap("other"))
        with pytest.raises(Fault):
            for _ in range(1000):  # the file is looked at ten times a second
                client.who.slow()
                threading.Event().wait(0.05)


def test_callers_sign_in_over_rpyc(server: Server, tmp_path: Path) -> None:
    connections = [
        rpyc_connect("127.0.0.1", port(server), credentials=("alice", "wonder:land")),
        unix_connect(f"{tmp_path}/rpyc.sock", credentials=("alice", "wonder:land")),
    ]
    for connection in connections:
        with connection:
            assert list(connection.root.who.quick())[:2] == ["alice", "password"]
            assert connection.root.who.slow() == connection.root.who.later() == "alice"
    with rpyc_connect("127.0.0.1", port(server)) as connection:
        assert connection.root.who.slow() == "anonymous"
        assert connection.root.authenticate("alice", "wonder:land") == "alice"
        assert connection.root.who.slow() == "alice"
    with pytest.raises(LoginError, match=r"^the server refuses the credentials: [^(\n]+ is wrong[^\n]*$"):
        rpyc_connect("127.0.0.1", port(server), credentials=("alice", "wrong"))
    with pytest.raises(LoginError, match="has not the form of a token"):
        rpyc_connect("127.0.0.1", port(server), token="anycore_nonsense")


async def test_callers_sign_in_over_rpyc_from_asyncio(server: Server) -> None:
    async with await aio.connect("127.0.0.1", port(server), credentials=("alice", "wonder:land")) as connection:
        assert await connection.root.who.later() == "alice"
    with pytest.raises(LoginError, match="is wrong"):
        await aio.connect("127.0.0.1", port(server), credentials=("alice", "wrong"))


def test_the_process_at_the_other_end_of_a_unix_socket_is_known(server: Server, tmp_path: Path) -> None:
    import os
    import pwd

    name = pwd.getpwuid(os.getuid()).pw_name
    with unix_connect(f"{tmp_path}/rpyc.sock") as connection:
        assert list(connection.root.who.quick())[:2] == [name, "unix"]
    with connect(f"unix+http://{tmp_path}/http.sock") as client:
        assert client.who.quick()[:2] == [name, "unix"]
        assert client.who.later() == name


def test_a_password_that_is_changed_ends_what_an_rpyc_connection_may_do(server: Server, passwords: Path) -> None:
    with rpyc_connect("127.0.0.1", port(server), credentials=("alice", "wonder:land")) as connection:
        who = connection.root.who
        assert who.slow() == "alice"
        with editing(passwords) as users:
            del users["alice"]
        with pytest.raises(Exception, match="is wrong"):
            for _ in range(1000):
                who.slow()
                threading.Event().wait(0.05)


PLUGIN = """
from anycore import Identity, Plugin
from anycore.kernel.authentication import AuthenticationFault, Authenticator

class Badge(Plugin, Authenticator):
    challenge = 'Badge realm="gate"'

    def quick(self, peer, credentials):
        return not credentials.authorization

    def authenticate(self, peer, credentials):
        if not credentials.authorization.startswith("Badge "):
            return None
        if credentials.authorization != "Badge 42":
            raise AuthenticationFault("this badge is not known")
        return Identity("ada", "badge")
"""


def test_a_plugin_may_know_callers(tmp_path: Path) -> None:
    (tmp_path / "badge.py").write_text(PLUGIN)
    text = """
        [server]
        plugins = ["badge.py"]
        [authentication]
        chain = ["plugin", "anonymous"]
        [[listen]]
        url = "http://127.0.0.1:0"
        """
    with serving(text, tmp_path) as server:
        assert b'["ada","badge",[]]' in ask(server, QUICK, ("Authorization", "Badge 42"))[2]
        status, headers, _ = ask(server, QUICK, ("Authorization", "Badge 41"))
        assert status == 401 and headers["www-authenticate"] == ['Badge realm="gate"']
        assert b"anonymous" in ask(server, QUICK)[2]


def test_a_server_may_want_a_name_of_everybody(tmp_path: Path, passwords: Path) -> None:
    text = f"""
        [authentication]
        chain = ["password"]
        password_file = "{passwords}"
        [[listen]]
        url = "http://127.0.0.1:0"
        [[listen]]
        url = "rpyc://127.0.0.1:0"
        """
    with serving(text, tmp_path) as server:
        status, headers, body = ask(server, QUICK)
        assert (
            status == 401 and headers["www-authenticate"][0].startswith("Basic") and b"present one of: password" in body
        )
        assert ask(server, "", method="GET", path="/")[0] == 401
        assert ask(server, "", method="GET", path="/livez")[0] == 200
        with rpyc_connect("127.0.0.1", port(server)) as connection:
            assert connection.root.authenticate("alice", "wonder:land") == "alice"
            assert connection.root.who.slow() == "alice"
        assert "authentication-missing" in server.incidents.counts()


def test_the_chain_is_made_anew_when_the_settings_change(tmp_path: Path, passwords: Path) -> None:
    from anycore.server.identity import prepare_identity

    text = '[[listen]]\nurl = "http://127.0.0.1:0"\n'
    with serving(text, tmp_path) as server:
        assert ask(server, QUICK, basic("alice", "wonder:land"))[0] == 401
        (tmp_path / "new.toml").write_text(f'[authentication]\npassword_file = "{passwords}"\n{text}')
        prepare_identity(server, load_settings(file=str(tmp_path / "new.toml"), environment={}))()
        assert ask(server, QUICK, basic("alice", "wonder:land"))[0] == 200
        passwords.write_text("nonsense")
        (tmp_path / "bad.toml").write_text(f'[authentication]\nrealm = "x"\npassword_file = "{passwords}"\n{text}')
        with pytest.raises(StartupError, match="expected name:hash"):
            prepare_identity(server, load_settings(file=str(tmp_path / "bad.toml"), environment={}))
        assert ask(server, QUICK, basic("alice", "wonder:land"))[0] == 200


def test_a_password_is_never_checked_on_the_loop(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from anycore.identity import hashing

    threads: list[str] = []
    verify = hashing.verify_password

    def noted(hashed: str, password: str) -> bool:
        threads.append(threading.current_thread().name)
        return verify(hashed, password)

    monkeypatch.setattr(hashing, "verify_password", noted)
    for name in ("who.quick", "who.slow", "who.later", "who.nothing"):
        body = QUICK.replace("who.quick", name)
        ask(server, body, basic("alice", f"wrong for {name}"))
        ask(server, f"[{body},{body}]", basic("alice", "wrong in a batch"))
    ask(server, "", basic("alice", "wrong for a page"), method="GET", path="/")
    assert len(threads) > 3
    assert not any("MainThread" in name or "loop" in name for name in threads)
    if server.core.name == "asyncio":
        assert all("worker" in name for name in threads), threads


@pytest.mark.parametrize("path", ["/", "/metrics"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pages_ask_those_who_present_nothing_and_refuse_those_who_are_known(
    tmp_path: Path, passwords: Path, path: str, method: str
) -> None:
    def page(server: Server, *fields: tuple[str, str]) -> tuple[int, bool]:
        status, headers, _ = ask(server, "", *fields, method=method, path=path)
        return status, "www-authenticate" in headers

    listen = '[[listen]]\nurl = "http://127.0.0.1:0"\n'
    rules = '[[access.rule]]\nallow = ["system.*"]\nto = ["group:ops"]\n[access]\ndefault = "deny"\n'
    with editing(passwords) as users:
        users["bob"] = User("bob", cheap("other"))
    with serving(f'[authentication]\npassword_file = "{passwords}"\n{rules}{listen}', tmp_path) as server:
        assert page(server) == (401, True)
        assert page(server, basic("alice", "wrong")) == (401, True)
        assert page(server, basic("alice", "wonder:land")) == (200, False)
        assert page(server, basic("bob", "other")) == (403, False)
    for chain in ('["certificate", "anonymous"]', '["anonymous"]', '["certificate"]'):  # there is nothing to ask for
        with serving(f"[authentication]\nchain = {chain}\n{rules}{listen}", tmp_path) as server:
            assert page(server) == (403, False)
    away = '[[access.rule]]\ndeny = ["*"]\nto = ["local"]\n'  # whoever it is
    with serving(f'[authentication]\npassword_file = "{passwords}"\n{away}{listen}', tmp_path) as server:
        assert page(server) == (403, False)
