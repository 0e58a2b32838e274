"""Clients of Clarens log in to a real server, by challenge and over TLS; virtual organisations over every wire and several processes."""

from __future__ import annotations

import re
import runpy
import ssl
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from anycore.clients import Fault, connect
from anycore.rpyc.calling import RpycClient

HERE = Path(__file__).parent / "clarens"
Client: Any = runpy.run_path(str(HERE / "client.py"))["Client"]
Grid: Any = runpy.run_path(str(HERE / "grid.py"))["Grid"]

PLUGIN = '''
import os
from anycore import Call, Plugin, exposed


class Echo(Plugin):
    """What Clarens had."""

    @exposed(name="echo")
    def back(self, *args: str) -> list[str]:
        """Return the arguments."""
        return list(args)

    @exposed
    def who(self, call: Call) -> list[str]:
        """Return kind and subject of the caller."""
        return [call.identity.kind, call.identity.dn]

    @exposed
    def process(self) -> int:
        """Return the number of the process."""
        return os.getpid()

    @exposed
    def secret(self) -> str:
        """Tell members of a virtual organisation."""
        return "42"
'''
CONFIG = """
[server]
core = "{core}"
plugins = ["echo.py"]
store = "lmdb:store"
{more}
[[listen]]
url = "http://127.0.0.1:0"
[[listen]]
url = "https://127.0.0.1:0"
certificate = "grid/server-both.pem"
client_ca = "grid/ca.pem"
client_certificate = "optional"
[[listen]]
url = "rpycs://127.0.0.1:0"
certificate = "grid/server-both.pem"
client_ca = "grid/ca.pem"
client_certificate = "required"
[sessions]
challenge = true
certificate = "grid/server-both.pem"
client_ca = "grid/authorities"
[groups]
admins = ["/DC=org/DC=example/CN=Root"]
[[access.rule]]
allow = ["echo.secret"]
to = ["group:physics.muons"]
[[access.rule]]
deny = ["echo.secret"]
to = ["*"]
"""
DN = "/DC=org/DC=example/CN="
SECONDS = 30


class Site:
    """Where a server runs, and how clients reach it."""

    def __init__(self, folder: Path, grid: Any, core: str) -> None:
        self.folder, self.grid, self.core = folder, grid, core
        self.urls: dict[str, str] = {}

    def context(self, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.grid.folder / "ca.pem"))
        if pair is not None:
            context.load_cert_chain(*pair)
        return context

    def client(self, pair: tuple[Path, Path] | None = None) -> Any:
        """Return a client over TLS with a certificate, or over plain HTTP."""
        return Client(self.urls["http"]) if pair is None else Client(self.urls["https"], self.context(pair))

    def all_processes(self, question: Callable[[], Any], count: int) -> set[Any]:
        """Ask over new connections until so many processes have answered."""
        found: set[Any] = set()
        deadline = time.monotonic() + SECONDS
        while len(found) < count:
            assert time.monotonic() < deadline, found
            found.add(question())
        return found


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    command = [str(Path(sys.executable).with_name("anycore")), "serve", "-c", "anycore.toml"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=site.folder, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                for url in re.findall(r"(?:https?|rpycs)://127\.0\.0\.1:\d+", line):
                    site.urls[url.partition(":")[0]] = url
                if "Ctrl-C" in line:
                    break
            assert len(site.urls) == 3, (
                process.stderr.read() if process.stderr and process.poll() is not None else site.urls
            )
            yield site
        finally:
            process.terminate()
            try:
                _, log = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert process.returncode == 0, log
        assert "Traceback" not in log, log


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A grid with some people in it."""
    grid = Grid(tmp_path_factory.mktemp("clarens") / "grid")
    grid.people = {name: grid.make(name) for name in ("Root", "Alice", "Bob")}
    grid.proxies = {kind: grid.proxy(grid.people["Alice"], kind) for kind in ("old", "new")}
    return grid


@pytest.fixture(scope="module", params=["asyncio", "threaded", "prefork"])
def site(request: pytest.FixtureRequest, people: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    core = request.param
    folder = tmp_path_factory.mktemp(core)
    (folder / "grid").symlink_to(people.folder)
    (folder / "echo.py").write_text(PLUGIN)
    more = "[prefork]\nworkers = 2\n" if core == "prefork" else ""
    (folder / "anycore.toml").write_text(CONFIG.format(core=core, more=more))
    with serving(Site(folder, people, core)) as made:
        yield made


@pytest.mark.parametrize("spelling", ["hexadecimal", "base64"])
def test_challenge_and_response(site: Site, spelling: str) -> None:
    with site.client() as client:
        client.log_in(*site.grid.people["Alice"], spelling)
        assert client.call("echo.echo", "hello") == ["hello"]
        assert client.call("echo.who") == ["session", f"{DN}Alice"]
        assert client.call("system.logout") is True
        with pytest.raises(Exception, match="no such session"):
            client.call("echo.who")


@pytest.mark.parametrize("kind", ["old", "new"])
def test_a_proxy_of_a_grid_logs_in_as_its_owner(site: Site, kind: str) -> None:
    with site.client() as client:
        client.log_in(*site.grid.proxies[kind])
        assert client.call("echo.who") == ["session", f"{DN}Alice"]


def test_a_chain_of_more_than_8_kilobytes_is_taken(site: Site) -> None:
    certificate, key = site.grid.proxies["old"]
    long = certificate.with_name("long.pem")
    long.write_text(certificate.read_text() + site.grid.people["Alice"][0].read_text() * 6)
    assert len(long.read_text()) > 8 * 1024
    with site.client() as client:
        client.log_in(long, key)
        assert client.call("echo.who") == ["session", f"{DN}Alice"]


def test_over_tls(site: Site) -> None:
    with site.client(site.grid.people["Alice"]) as client, site.client() as plain:
        client.log_in_by_tls()
        assert client.cookies == {"clarens_username": client.name, "clarens_password": client.secret}
        assert client.call("echo.who") == ["certificate", f"{DN}Alice"]
        plain.name, plain.secret = client.name, client.secret
        assert plain.call("echo.who") == ["session", f"{DN}Alice"]


def test_over_tls_without_a_login(site: Site) -> None:
    with site.client(site.grid.people["Alice"]) as client:
        client.choose_name("hexadecimal")
        client.secret = "BROWSER"
        assert client.call("echo.echo", "a") == ["a"]
        client.secret = client.cookies["clarens_password"]
        assert client.call("echo.echo", "b") == ["b"]
        assert client.call("system.logout") is True


def test_a_session_is_known_to_all_processes_and_ends_in_all(site: Site) -> None:
    processes = 2 if site.core == "prefork" else 1
    with site.client() as first:
        first.log_in(*site.grid.people["Bob"])

        def ask() -> int:
            with site.client() as client:
                client.name, client.secret = first.name, first.secret
                number: int = client.call("echo.process")
                return number

        site.all_processes(ask, processes)
        assert first.call("system.logout") is True
        for _ in range(10 * processes):
            with pytest.raises(Exception, match="no such session"):
                ask()


def test_virtual_organisations_over_every_wire(site: Site) -> None:
    root, alice, bob = (site.grid.people[name] for name in ("Root", "Alice", "Bob"))
    url = site.urls["https"]
    with connect(f"jsonrpc+{url}", context=site.context(root)) as client:
        client.call("group.create", "physics", "of all")
        client.call("group.create", "physics.muons")
        assert client.call("group.add_admin", "physics", f"{DN}Alice") is True
    with connect(url, context=site.context(alice)) as client:
        assert client.call("group.add_member", "physics", f"{DN}Bob") is True
        assert client.call("group.list") == ["physics", "physics.muons"]
        with pytest.raises(Fault, match="who administers the whole tree"):
            client.call("group.create", "chemistry")
    with RpycClient(site.urls["rpycs"], context=site.context(bob)) as client:
        assert client.call("group.mine") == ["physics", "physics.muons"]
        assert client.call("group.is_member", "physics.muons") is True
        assert client.call("group.members", "physics") == [f"dn:{DN}Bob"]
        with pytest.raises(Fault, match="may not add member"):
            client.call("group.add_member", "physics.muons", f"{DN}Bob")
    with RpycClient(site.urls["rpycs"], context=site.context(alice)) as client:
        assert [one["action"] for one in client.call("group.audit", "physics")] == [
            "add_member", "add_admin", "create", "create",
        ]  # fmt: skip
    with connect(url, context=site.context(bob)) as client:
        assert client.call("group.info", "physics")["description"] == "of all"


def test_rules_go_by_groups_and_follow_them_in_all_processes(site: Site) -> None:
    processes = 2 if site.core == "prefork" else 1
    with site.client(site.grid.people["Root"]) as root:
        if "physics.muons" not in root.call("group.list"):
            root.call("group.create", "physics")
            root.call("group.create", "physics.muons")
        root.call("group.remove_member", "physics", f"{DN}Bob")
        root.call("group.add_member", "physics.muons", f"{DN}Alice")

        def ask() -> tuple[int, bool]:
            with site.client(site.grid.people["Alice"]) as client:
                number = client.call("echo.process")
                with suppress(xmlrpc.client.Fault):
                    return number, client.call("echo.secret") == "42"
                return number, False

        def until(allowed: bool) -> None:
            deadline = time.monotonic() + SECONDS
            agreed: set[int] = set()
            while len(agreed) < processes:
                assert time.monotonic() < deadline, agreed
                number, found = ask()
                (agreed.add if found is allowed else agreed.discard)(number)

        until(True)
        root.call("group.remove_member", "physics.muons", f"{DN}Alice")
        until(False)


def test_logging_in_without_headers(site: Site) -> None:
    """Over RPyC, a caller gives what it cannot present, and can use the session over other wires."""
    name = "0" * 40
    with RpycClient(site.urls["rpycs"], context=site.context(site.grid.people["Bob"])) as client:
        _, own, secret = client.call("system.auth2", name)
        assert own.startswith("-----BEGIN CERTIFICATE-----")
        with site.client() as other:
            other.name, other.secret = name, secret
            assert other.call("echo.who") == ["session", f"{DN}Bob"]
        certificate = site.grid.people["Bob"][0].read_text()
        assert len(client.call("system.auth", "1" * 40, certificate)) == 3
        assert client.call("system.logout", name, secret) is True


def test_sessions_and_groups_outlive_the_server(people: Any, tmp_path: Path) -> None:
    (tmp_path / "grid").symlink_to(people.folder)
    (tmp_path / "echo.py").write_text(PLUGIN)
    (tmp_path / "anycore.toml").write_text(CONFIG.format(core="asyncio", more=""))
    site = Site(tmp_path, people, "asyncio")
    with serving(site), site.client() as client:
        client.log_in(*people.people["Root"])
        name, secret = client.name, client.secret
        assert client.call("group.create", "physics") is True
    site.urls.clear()
    with serving(site), site.client() as client:
        client.name, client.secret = name, secret
        assert client.call("echo.who") == ["session", f"{DN}Root"]
        assert client.call("group.list") == ["admins", "physics"]
        listed = subprocess.run(
            [sys.executable, "-m", "anycore", "session", "list"], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout  # fmt: skip
        assert f"{DN}Root  from 127.0.0.1  by system.auth" in listed
        ended = [sys.executable, "-m", "anycore", "session", "end", "".join(name.split())]
        subprocess.run(ended, cwd=tmp_path, check=True)
        with pytest.raises(Exception, match="no such session"):
            client.call("echo.who")
