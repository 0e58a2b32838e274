"""The rules of a server: in force at once, live, whole or not at all; and what peers get past them, which is nothing."""

from __future__ import annotations

import json
import os
import socket
import threading
import urllib.request
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from anycore.kernel.authentication import AuthenticationFault, Authenticator, Chain
from anycore.kernel.call import ANONYMOUS, Call, Credentials, Identity, Peer
from anycore.kernel.kernel import Kernel
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.policy import AccessPolicy, Decision
from anycore.kernel.registry import verify
from anycore.server.access import Access, prepare_access
from anycore.server.application import Server
from anycore.server.errors import StartupError
from anycore.server.identity import prepare_identity
from anycore.settings.sources import load_settings
from anycore.settings.tables import AccessSettings, Settings

FAR = Peer.of_address(("192.0.2.1", 7))
NEAR = Peer.of_address(("127.0.0.1", 7))


class Room(Plugin):
    @exposed(aliases=("heat", "top.level.heat"))
    def celsius(self) -> int:
        """How warm."""
        return 20

    @exposed
    def reset(self) -> bool:
        """Forget all."""
        return True


def settings_of(tmp_path: Path, text: str = "", **access: Any) -> Settings:
    path = tmp_path / "anycore.toml"
    path.write_text(text)
    return msgspec.structs.replace(load_settings(file=str(path), environment={}), access=AccessSettings(**access))


def access_of(tmp_path: Path, text: str = "", **access: Any) -> tuple[Kernel, Access]:
    kernel = Kernel()
    kernel.registry.commit([verify(Room(), "test")])
    return kernel, Access(kernel, settings_of(tmp_path, text, **access))


def may(kernel: Kernel, name: str, peer: Peer = FAR, identity: Identity = ANONYMOUS) -> bool:
    return kernel.decide(Call(name, peer=peer, identity=identity)).allowed


ALLOW = '[[access.rule]]\nallow = ["room.celsius"]\nto = ["*"]\n'


def test_without_rules_the_default_holds_and_can_be_chosen(tmp_path: Path) -> None:
    for default, far, near in (("local", False, True), ("deny", False, False), ("allow", True, True)):
        kernel, access = access_of(tmp_path, default=default)
        assert (may(kernel, "room.reset"), may(kernel, "room.reset", NEAR)) == (far, near)
        assert access.matcher.decide_file(ANONYMOUS, FAR, "/x", write=False).allowed is far


def test_rules_that_change_are_in_force_at_the_next_look(tmp_path: Path) -> None:
    kernel, access = access_of(tmp_path, ALLOW, default="deny")
    assert (may(kernel, "room.celsius"), may(kernel, "room.reset")) == (True, False)
    assert access.look() is False

    (tmp_path / "anycore.toml").write_text(ALLOW.replace("celsius", "reset") + "# longer\n")
    assert access.look() is True
    assert (may(kernel, "room.celsius"), may(kernel, "room.reset")) == (False, True)


def test_wrong_rules_are_refused_whole_and_the_old_ones_stay(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kernel, access = access_of(tmp_path, ALLOW, default="deny")
    for wrong in (
        ALLOW.replace("celsius", "reset") + '[[access.rule]]\nalow = ["x"]\nto = ["*"]\n',
        ALLOW.replace("access.rule", "access.rules"),
        "access = 5",
        "[access",
    ):
        caplog.clear()
        (tmp_path / "anycore.toml").write_text(wrong)
        assert access.look() is True
        assert "the old ones stay in force" in caplog.text
        assert (may(kernel, "room.celsius"), may(kernel, "room.reset")) == (True, False)
        assert access.look() is False  # it is not said again and again
    (tmp_path / "anycore.toml").unlink()
    assert access.look() is True
    assert (may(kernel, "room.celsius"), may(kernel, "room.reset")) == (True, False)


def test_files_of_all_kinds_are_watched_and_combined(tmp_path: Path) -> None:
    service = tmp_path / "services" / "room"
    service.mkdir(parents=True)
    (service / ".clarens_access").write_text("access = [('', [0, ['/'], [], [], []])]\n")
    acl = tmp_path / "ACL"
    acl.mkdir()
    (acl / "ip.xml").write_text('<ACL><Deny address="198.51.100.0" netmask="24" method="*.*"/></ACL>')
    more = tmp_path / "access.toml"
    more.write_text('[[access.rule]]\ndeny = ["room.reset"]\nto = ["*"]\n')
    kernel, access = access_of(tmp_path, default="deny", file=str(more), clarens=(str(service.parent),), bcfg2=str(acl))
    bob = Identity("bob", "password")
    assert may(kernel, "room.celsius", FAR, bob)
    assert not may(kernel, "room.celsius", FAR)  # Clarens wants to know who it is
    assert not may(kernel, "room.reset", FAR, bob)  # TOML
    assert not may(kernel, "room.celsius", Peer.of_address(("198.51.100.9", 1)), bob)  # Bcfg2

    (acl / "ip.xml").write_text("<ACL/>")
    assert access.look()
    assert may(kernel, "room.celsius", Peer.of_address(("198.51.100.9", 1)), bob)
    (service / ".clarens_access").write_text("access = [('', [0, ['/DC=org'], [], [], []])]\n")
    assert access.look()
    assert not may(kernel, "room.celsius", FAR, bob)
    (service.parent / "new").mkdir()
    (service.parent / "new" / ".clarens_access").write_text("nonsense(")
    assert access.look()
    assert len(access.matcher.sets) == 3


def test_settings_that_are_read_again_bring_their_rules(tmp_path: Path) -> None:
    kernel, access = access_of(tmp_path, ALLOW, default="deny")
    new = settings_of(tmp_path, ALLOW.replace("celsius", "reset"), default="allow")
    commit = prepare_access(type("Server", (), {"access": access})(), new)
    assert not may(kernel, "room.reset")
    commit()
    assert may(kernel, "room.reset")
    assert may(kernel, "nothing")
    with pytest.raises(StartupError, match="cannot be read"):
        access.prepare(settings_of(tmp_path, ALLOW, file=str(tmp_path / "missing.toml")))


def test_a_server_does_not_start_with_wrong_rules(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    (tmp_path / "anycore.toml").write_text("[[access.rule]]\n")
    with pytest.raises(StartupError, match="neither allows nor denies"):
        Access(Kernel(), settings)


def test_groups_of_others_count(tmp_path: Path) -> None:
    kernel, access = access_of(tmp_path, ALLOW.replace('"*"', '"group:ops"'), default="deny")
    bob = Identity("bob", "password")
    assert not may(kernel, "room.celsius", FAR, bob)
    access.use_groups(lambda identity: frozenset({"ops"}) if identity.name == "bob" else frozenset())
    assert may(kernel, "room.celsius", FAR, bob)
    access.reload()
    assert may(kernel, "room.celsius", FAR, bob)


class Slow(Authenticator):
    name = "slow"

    def __init__(self) -> None:
        self.asked = 0

    def authenticate(self, peer: Peer, credentials: Credentials) -> Identity | None:
        self.asked += 1
        return Identity("bob", "password")


@pytest.mark.parametrize("lenient", [False, True])
def test_whoever_is_turned_away_costs_no_check_of_a_password(tmp_path: Path, lenient: bool) -> None:
    slow = Slow()
    kernel = Kernel(authentication=Chain([slow]))
    plugins: list[Plugin] = [Room()]
    if lenient:  # a plugin could know better, so it has to be asked with the identity

        class Lenient(Plugin, AccessPolicy):
            def decide(self, identity: Identity, peer: Peer, method: str) -> Decision:
                return Decision(allowed=True, reason="always")

        plugins.append(Lenient())
    kernel.registry.commit(verify(plugin, "test") for plugin in plugins)
    access = Access(kernel, settings_of(tmp_path, ALLOW.replace('"*"', '"net:10.0.0.0/8"'), default="deny"))
    access.start()
    try:
        chain = kernel.authentication
        assert chain is not None
        assert (chain.authenticate(FAR, Credentials()).kind == "anonymous") is not lenient
        assert slow.asked == lenient
        assert chain.authenticate(Peer.of_address(("10.0.0.1", 1)), Credentials()).name == "bob"
    finally:
        access.stop()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """Start a server whose file has some text; it is stopped at the end."""
    started: list[tuple[Server, threading.Thread]] = []

    def start(text: str) -> Server:
        (tmp_path / "room.py").write_text(
            "from anycore import Plugin, exposed\n\n"
            "class Room(Plugin):\n"
            "    @exposed(aliases=('heat',))\n    def celsius(self) -> int:\n        return 20\n\n"
            "    @exposed\n    def reset(self) -> bool:\n        return True\n"
        )
        head = '[server]\ncore = "threaded"\nplugins = ["room.py"]\n[[listen]]\nurl = "http://127.0.0.1:0"\n'
        (tmp_path / "anycore.toml").write_text(head + text)
        ready = threading.Event()
        settings = load_settings(file=str(tmp_path / "anycore.toml"), environment={})
        server = Server(settings, announce=lambda _: ready.set())
        thread = threading.Thread(target=server.run, kwargs={"signals": False}, daemon=True)
        thread.start()
        started.append((server, thread))
        assert ready.wait(30)
        return server

    yield start
    for server, thread in started:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()


def code_of(url: str, name: str, *args: Any) -> int:
    """The fault code of a call, 0 when it succeeds."""
    with xmlrpc.client.ServerProxy(url) as proxy:
        try:
            getattr(proxy, name)(*args)
        except xmlrpc.client.Fault as fault:
            return fault.faultCode
    return 0


DENIED, MISSING, INVALID = -32001, -32601, -32600
TRICKS = [
    "room.reset", "room.reset.", ".room.reset", "room..reset", "Room.reset", "room.Reset", "room.reset ", " room.reset", "room.reset\n",
    "room/reset", "room.reset/..", "room.celsius/../reset", "room.r\u0435set", "room.reset\u200b", "r\u2024eset", "room\uff0ereset",
    "room.__class__", "room.celsius.__func__", "__main__", "room.settings", "room.start", "../room.reset", "room.%72eset", "*", "**",
    "room.*", "", "system.multicall.room.reset", "x" * 100_000, "room." + "a." * 5000,
]  # fmt: skip


def test_tricks_with_names_get_nothing(serve: Callable[[str], Server], caplog: pytest.LogCaptureFixture) -> None:
    server = serve(
        '[access]\ndefault = "deny"\n[[access.rule]]\nallow = ["room.celsius", "system.multicall"]\nto = ["*"]\n'
    )
    (url,) = server.urls
    assert code_of(url, "room.celsius") == code_of(url, "heat") == 0
    wanted = dict.fromkeys(TRICKS, DENIED)
    wanted["room.celsius.__func__"] = wanted["system.multicall.room.reset"] = (
        MISSING  # below what is allowed there is nothing
    )
    wanted[""] = INVALID
    assert {name: code_of(url, name) for name in TRICKS} == wanted
    for body in (
        b'{"jsonrpc":"2.0","id":1,"method":"room.reset\\u0000"}',
        b'{"jsonrpc":"2.0","id":1,"method":"room.celsius\\u0000.reset"}',
        b'{"jsonrpc":"2.0","id":1,"method":"\\ud800room.reset"}',
    ):
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            assert "error" in json.loads(response.read())
    assert server.incidents.counts()["denied"] >= len(TRICKS) - 3
    written = [record for record in caplog.records if record.getMessage().startswith("denied from")]
    assert 1 <= len(written) <= 6  # the others were counted


def test_no_call_is_smuggled_through_multicall_or_a_batch(serve: Callable[[str], Server]) -> None:
    server = serve(
        '[access]\ndefault = "deny"\n[[access.rule]]\nallow = ["room.celsius", "system.multicall"]\nto = ["*"]\n'
    )
    (url,) = server.urls
    calls: list[dict[str, Any]] = [
        {"methodName": name, "params": []}
        for name in ("room.celsius", "room.reset", "heat", "system.multicall", "missing")
    ]
    with xmlrpc.client.ServerProxy(url) as proxy:
        answers: Any = proxy.system.multicall(calls)
    assert answers[0] == answers[2] == [20]
    assert [answer["faultCode"] for answer in (answers[1], answers[3], answers[4])] == [DENIED, INVALID, DENIED]
    batch = json.dumps([{"jsonrpc": "2.0", "id": n, "method": call["methodName"]} for n, call in enumerate(calls[:3])])
    request = urllib.request.Request(url, batch.encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        found = {answer["id"]: answer.get("error", {}).get("code", 0) for answer in json.loads(response.read())}
    assert found == {0: 0, 1: DENIED, 2: 0}


def test_lists_and_help_show_what_may_be_called(serve: Callable[[str], Server]) -> None:
    server = serve(
        '[access]\ndefault = "deny"\n[[access.rule]]\ndeny = ["room.reset"]\nto = ["*"]\n'
        '[[access.rule]]\nallow = ["room", "system"]\nto = ["*"]\n'
    )
    (url,) = server.urls
    with xmlrpc.client.ServerProxy(url) as proxy:
        names: Any = proxy.system.listMethods()
        document: Any = proxy.rpc.discover()
        figures: Any = proxy.system.statistics()
        properties: Any = proxy.system.properties()
    assert "room.celsius" in names
    assert "heat" in names
    assert "room.reset" not in names
    assert not any(name.startswith("debug") for name in names)
    assert "room.reset" not in json.dumps(document)
    assert "room.reset" not in figures
    assert properties["plugins"] == ["room", "system"]
    for method in ("system.methodHelp", "system.methodSignature"):
        assert code_of(url, method, "room.reset") == code_of(url, method, "room.missing") == MISSING
    with urllib.request.urlopen(f"{url}/") as page:
        assert b"room.reset" not in page.read()


def test_an_edit_takes_effect_while_the_server_runs(serve: Callable[[str], Server], tmp_path: Path) -> None:
    server = serve('[access]\ndefault = "deny"\n' + ALLOW)
    (url,) = server.urls
    assert code_of(url, "room.reset") == DENIED
    path = tmp_path / "anycore.toml"
    draft = tmp_path / "draft"
    draft.write_text(path.read_text().replace("room.celsius", "room.reset"))
    os.replace(draft, path)  # noqa: PTH105
    done = threading.Event()
    for _ in range(600):
        if code_of(url, "room.reset") == 0:
            break
        done.wait(0.05)
    assert code_of(url, "room.reset") == 0
    assert code_of(url, "room.celsius") == DENIED
    (tmp_path / "anycore.toml").write_text("broken [")
    assert server.reload_now().problems
    assert code_of(url, "room.reset") == 0


def test_a_peer_whose_address_is_denied_gets_nothing_even_by_name(serve: Callable[[str], Server]) -> None:
    server = serve('[[access.rule]]\ndeny = ["*"]\nto = ["net:127.0.0.0/8", "local"]\n')
    (url,) = server.urls
    assert {code_of(url, name) for name in ("room.celsius", "system.listMethods", "system.multicall", "nothing")} == {
        DENIED
    }
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: peer.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("chain", ['["anonymous"]', '["token", "anonymous"]'])
def test_callers_are_turned_away_by_address_whatever_the_chain_was_before(tmp_path: Path, chain: str) -> None:
    rules = '[[access.rule]]\ndeny = ["*"]\nto = ["net:192.0.2.0/24"]\n'
    path = tmp_path / "anycore.toml"
    path.write_text(f"[authentication]\nchain = {chain}\n{rules}[[listen]]\nurl = 'http://127.0.0.1:0'\n")
    server = Server(load_settings(file=str(path), environment={}))
    try:
        path.write_text(rules)
        prepare_identity(server, load_settings(file=str(path), environment={}))()
        authentication = server.kernel.authentication
        assert authentication is not None
        wrong = Credentials("Bearer wrong")
        assert authentication.authenticate(FAR, wrong) is ANONYMOUS
        with pytest.raises(AuthenticationFault):
            authentication.authenticate(NEAR, wrong)
    finally:
        server.release()
