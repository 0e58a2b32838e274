"""Callers that log in, as a server sees them: the whole chain, the real methods, HTTP requests in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding

from anycore.conversations.http import HttpConversation
from anycore.conversations.site import HttpSite
from anycore.cores.loop_thread import LoopThread
from anycore.identity.anonymous import AnonymousAuthenticator
from anycore.identity.certificate import CertificateAuthenticator
from anycore.identity.chain import GuardedChain
from anycore.identity.password import PasswordAuthenticator
from anycore.identity.password_file import PasswordFile
from anycore.identity.sessions.authenticator import SessionAuthenticator
from anycore.identity.sessions.challenge import ChallengeError, Challenger
from anycore.identity.sessions.kept import Sessions
from anycore.identity.sessions.login import Login
from anycore.identity.throttle import Throttle
from anycore.kernel.call import NO_CREDENTIALS, Call, Identity, Peer
from anycore.kernel.incidents import Incidents
from anycore.kernel.kernel import Kernel
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.registry import verify
from anycore.services.login import SystemWithChallenge
from anycore.testing.memory import converse

NAME = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
OTHER = "356a192b7913b04c54574d18c28d46e6395428ab"


class Who(Plugin):
    """Tells callers who they are."""

    @exposed
    def am_i(self, call: Call) -> list[str]:
        """Return kind, name and subject of the caller."""
        return [call.identity.kind, call.identity.name, call.identity.dn]

    @exposed(quick=True)
    def quickly(self, call: Call) -> str:
        """Return the kind of the caller."""
        return call.identity.kind


class Reply:
    """A response."""

    def __init__(self, sent: bytes) -> None:
        head, _, body = sent.partition(b"\r\n\r\n")
        self.head = head.decode()
        self.status = int(self.head.split(" ", 2)[1])
        self.cookies = re.findall(r"Set-Cookie: (\S+?)=([^;]*)", self.head)
        self.body: Any = json.loads(body) if b"json" in head else body.decode()

    @property
    def result(self) -> Any:
        assert "result" in self.body, self.body
        return self.body["result"]

    @property
    def fault(self) -> str:
        message: str = self.body["error"]["message"]
        return message


class Server:
    """A server without sockets."""

    def __init__(self, sessions: Sessions, certificate: str, passwords: PasswordFile | None = None) -> None:
        self.sessions = sessions
        self.loop = LoopThread()
        self.incidents = Incidents()
        throttle = Throttle()
        judge = CertificateAuthenticator()
        login = Login(sessions, lambda: certificate)
        chain = GuardedChain(
            [
                judge,
                SessionAuthenticator(sessions, throttle),
                *([PasswordAuthenticator(passwords, throttle)] if passwords is not None else []),
                AnonymousAuthenticator(),
            ],
            throttle,
            self.incidents,
        )
        chain.welcome = login.welcome
        self.kernel = Kernel(authentication=chain, incidents=self.incidents)

        def identify(der: bytes) -> Identity:
            found = judge.authenticate(Peer(certificate=der), NO_CREDENTIALS)
            assert found is not None
            return found

        challenger = Challenger(sessions, identify)
        system = SystemWithChallenge(self.kernel, self.loop.run, login=login, challenger=challenger)
        self.kernel.registry.commit([verify(system, "test"), verify(Who(), "test")])
        self.site = HttpSite(self.kernel, incidents=self.incidents)

    def call(self, method: str, *params: Any, peer: Peer | None = None, basic: tuple[str, str] | None = None,
             cookie: str = "") -> Reply:  # fmt: skip
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        head = f"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        if basic is not None:
            head += f"Authorization: Basic {base64.b64encode(':'.join(basic).encode()).decode()}\r\n"
        if cookie:
            head += f"Cookie: {cookie}\r\n"
        conversation = HttpConversation(peer or Peer("tcp", "192.0.2.1", 7), self.site)
        return Reply(converse(conversation, f"{head}\r\n{body}".encode(), self.loop))

    def log_in(self, pair: Any, *others: Any, name: str = NAME, peer: Peer | None = None) -> str:
        """Log in by a challenge as clients do; return the secret."""
        pem = "".join(one.pem for one in (pair, *others))
        certificate, c1, c2 = self.call("system.auth", basic=(name, pem), peer=peer).result
        assert certificate.startswith("-----BEGIN CERTIFICATE-----")
        assert c2
        nonce = pair.key.decrypt(base64.b64decode(c1), PKCS1v15())
        return base64.b64encode(hashlib.sha1(nonce, usedforsecurity=False).digest()).decode()


@pytest.fixture
def server(grid: Any, trusted: Path, tmp_path: Path, make_sessions: Callable[..., Sessions]) -> Any:
    return start(grid, trusted, tmp_path, make_sessions)


def start(grid: Any, trusted: Path, folder: Path, make_sessions: Callable[..., Sessions], **options: Any) -> Server:
    own = grid.person("server")
    (folder / "server.pem").write_text(own.pem + own.key_pem)
    settings = {"challenge": True, "certificate": str(folder / "server.pem"), "client_ca": str(trusted), **options}
    return Server(make_sessions(**settings), own.pem)


def over_tls(pair: Any) -> Peer:
    return Peer("tcp", "192.0.2.1", 7, "TLSv1.3", pair.certificate.public_bytes(Encoding.DER), local=True)


ALICE = "/DC=org/OU=People/CN=Alice"


def test_a_challenge_and_its_answer(server: Server, grid: Any) -> None:
    secret = server.log_in(grid.person("Alice"))
    assert server.call("who.am_i", basic=(NAME, secret)).result == ["session", "Alice", ALICE]
    assert server.call("who.quickly", basic=(NAME, secret)).result == "session"
    assert server.call("who.am_i").result[0] == "anonymous"


def test_the_secret_in_hexadecimal_and_with_line_breaks(server: Server, grid: Any) -> None:
    secret = server.log_in(grid.person("Alice"))
    spelled = base64.b64decode(secret).hex()
    for text in (secret + "\r\n", spelled, spelled.upper(), secret.rstrip("="), f"{secret[:10]}\r\n{secret[10:]}"):
        assert server.call("who.am_i", basic=(NAME, text)).result[1] == "Alice", text
    assert server.call("who.am_i", basic=(f"{NAME[:20]}\r\n{NAME[20:]}\r\n", secret)).result[1] == "Alice"


def test_a_proxy_logs_in_as_its_owner(server: Server, grid: Any) -> None:
    alice = grid.person("Alice")
    proxy = grid.old_proxy(alice)
    secret = server.log_in(proxy, alice)
    assert server.call("who.am_i", basic=(NAME, secret)).result == ["session", "Alice", ALICE]


def test_who_has_the_certificate_only_cannot_answer(server: Server, grid: Any) -> None:
    alice = grid.person("Alice")
    _, c1, c2 = server.call("system.auth", basic=(NAME, alice.pem)).result
    for guess in (c1, c2, hashlib.sha1(c1.encode()).hexdigest(), hashlib.sha1(b"").hexdigest()):
        assert "error" in server.call("who.am_i", basic=(NAME, guess)).body
    assert server.sessions.find(NAME) is None


@pytest.mark.parametrize("kind", ["foreign", "expired", "for servers", "forged"])
def test_certificates_that_are_refused(kind: str, server: Server, grid: Any) -> None:
    import datetime as dt

    from cryptography import x509

    made = {
        "foreign": lambda: [grid.person("Alice", grid.authority("/DC=com/CN=Other CA"))],
        "expired": lambda: [grid.person("Alice", end=-dt.timedelta(minutes=1))],
        "for servers": lambda: [
            grid.person(
                "Alice", extensions=[(x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")]), False)]
            )
        ],
        "forged": lambda: [
            grid.make(f"{ALICE}/CN=proxy", grid.person("Mallory"), issuer_name=ALICE),
            grid.person("Alice"),
        ],
    }[kind]()
    reply = server.call("system.auth", basic=(NAME, "".join(one.pem for one in made)))
    assert "the certificate is refused" in reply.fault


def test_presenting_a_certificate_lets_nobody_in_but_to_the_challenge(server: Server, grid: Any) -> None:
    reply = server.call("who.am_i", basic=(NAME, grid.person("Alice").pem))
    assert "may not call" in reply.fault


def test_a_challenge_is_answered_once_and_not_after_the_end(server: Server, grid: Any) -> None:
    secret = server.log_in(grid.person("Alice"))
    assert server.call("who.am_i", basic=(NAME, secret)).status == 200
    assert server.call("system.logout", basic=(NAME, secret)).result is True
    for _ in range(2):
        reply = server.call("who.am_i", basic=(NAME, secret))
        assert "there is no such session" in reply.fault
    assert "there is no such session" in server.call("system.logout", basic=(NAME, secret)).fault


def test_another_certificate_cannot_take_over_a_session(server: Server, grid: Any) -> None:
    alice = server.log_in(grid.person("Alice"))
    assert server.call("who.am_i", basic=(NAME, alice)).status == 200
    mallory = server.log_in(grid.person("Mallory"))
    assert "somebody else has a session of that name" in server.call("who.am_i", basic=(NAME, mallory)).fault
    assert server.call("who.am_i", basic=(NAME, alice)).result[1] == "Alice"


def test_each_login_has_a_new_secret_and_the_old_one_is_worth_nothing(server: Server, grid: Any) -> None:
    alice = grid.person("Alice")
    first = server.log_in(alice)
    assert server.call("who.am_i", basic=(NAME, first)).status == 200
    second = server.log_in(alice)
    assert first != second
    assert server.call("who.am_i", basic=(NAME, first)).result[1] == "Alice"  # until the other one is used
    assert server.call("who.am_i", basic=(NAME, second)).result[1] == "Alice"
    assert "the secret is not that of the session" in server.call("who.am_i", basic=(NAME, first)).fault


def test_guessing_is_throttled_and_spoils_no_session(server: Server, grid: Any) -> None:
    secret = server.log_in(grid.person("Alice"))
    assert server.call("who.am_i", basic=(NAME, secret)).status == 200
    replies = [server.call("who.am_i", basic=(NAME, f"{number:040x}")) for number in range(8)]
    assert all("the secret is not that of the session" in reply.fault for reply in replies[:5])
    assert "too many failed attempts" in replies[-1].fault
    assert replies[-1].status == 429
    assert server.call("who.am_i", basic=(NAME, secret)).status == 200


def test_who_has_missed_the_end_of_a_session_is_no_attacker(server: Server) -> None:
    for _ in range(20):
        assert "there is no such session" in server.call("who.am_i", basic=(NAME, "a" * 40)).fault


def test_a_name_is_what_cannot_be_a_digest(server: Server, grid: Any) -> None:
    alice = grid.person("Alice")
    for name in ("x y", "0 1 0 \x06\x09`\x86H\x01e\x03\x04", "a" * 129, "short", "colon:colon", 'quote"quote'):
        assert "expected HTTP Basic credentials of a session name" in server.call("system.auth", name, alice.pem).fault
        assert "error" in server.call("system.auth", basic=(name, alice.pem)).body


def test_callers_without_headers_give_name_and_certificate(server: Server, grid: Any) -> None:
    alice = grid.person("Alice")
    _, c1, _ = server.call("system.auth", OTHER, alice.pem).result
    secret = hashlib.sha1(alice.key.decrypt(base64.b64decode(c1), PKCS1v15())).hexdigest()
    assert server.call("who.am_i", basic=(OTHER, secret)).result[1] == "Alice"
    assert server.call("system.logout", OTHER, "b" * 40).result is False
    assert server.call("system.logout", OTHER, secret).result is True
    assert "expected HTTP Basic credentials" in server.call("system.auth").fault


def test_challenges_are_bounded(
    grid: Any, trusted: Path, tmp_path: Path, make_sessions: Callable[..., Sessions]
) -> None:
    server = start(grid, trusted, tmp_path, make_sessions, challenges_per_address=2)
    alice = grid.person("Alice")
    replies = [server.call("system.auth", basic=(NAME, alice.pem)) for _ in range(3)]
    assert "2 challenges were asked for from 192.0.2.1 within a minute" in replies[2].fault


def test_by_the_certificate_of_tls(server: Server, grid: Any) -> None:
    alice = grid.person("Alice")
    reply = server.call("system.auth2", basic=(NAME, "BROWSER"), peer=over_tls(alice))
    certificate, own, secret = reply.result
    assert certificate.startswith("-----BEGIN CERTIFICATE-----")
    assert own == alice.pem
    assert reply.cookies == [("clarens_username", NAME), ("clarens_password", secret)]
    assert reply.head.count("; Secure\r\n") == 2
    local = Peer("tcp", "127.0.0.1", 7)
    assert server.call("who.am_i", basic=(NAME, secret), peer=local).result == ["session", "Alice", ALICE]


def test_over_tls_where_sessions_are_asked_first(
    grid: Any, trusted: Path, tmp_path: Path, make_sessions: Callable[..., Sessions]
) -> None:
    server = start(grid, trusted, tmp_path, make_sessions)
    chain = server.kernel.authentication
    assert chain is not None
    certificate, session, *others = chain.authenticators
    session = SessionAuthenticator(server.sessions, Throttle(), certificate_first=False)
    chain.authenticators = (session, certificate, *others)
    alice = over_tls(grid.person("Alice"))
    secret = server.call("system.auth2", basic=(NAME, "BROWSER"), peer=alice).result[2]
    assert server.call("who.am_i", basic=(NAME, secret), peer=alice).result[0] == "session"
    assert server.call("who.am_i", peer=alice).result[0] == "certificate"


def test_without_a_certificate_the_method_says_what_is_missing(server: Server) -> None:
    reply = server.call("system.auth2", basic=(NAME, "BROWSER"))
    assert "system.auth2 needs TLS with a client certificate" in reply.fault
    assert "may not call" in server.call("who.am_i", basic=(NAME, "BROWSER")).fault


def test_a_login_that_nobody_asked_for(server: Server, grid: Any) -> None:
    peer = over_tls(grid.person("Alice"))
    reply = server.call("who.am_i", basic=(NAME, "BROWSER"), peer=peer)
    assert reply.result[0] == "certificate"
    given = dict(reply.cookies)
    assert given["clarens_username"] == NAME
    assert server.call("who.am_i", peer=peer).cookies == []
    assert server.call("who.am_i", basic=(NAME, given["clarens_password"])).result == ["session", "Alice", ALICE]


def test_cookies_for_everybody_with_a_certificate_where_that_is_set(
    grid: Any, trusted: Path, tmp_path: Path, make_sessions: Callable[..., Sessions]
) -> None:
    server = start(grid, trusted, tmp_path, make_sessions, implicit="any")
    peer = over_tls(grid.person("Alice"))
    first = server.call("who.am_i", peer=peer)
    cookie = "; ".join(f"{name}={value}" for name, value in first.cookies)
    assert cookie
    assert server.call("who.am_i", peer=peer, cookie=cookie).cookies == []
    assert server.call("who.am_i", cookie=cookie).result == ["session", "Alice", ALICE]
    assert server.call("who.am_i").cookies == []


def test_nobody_fixes_a_session_for_another(
    grid: Any, trusted: Path, tmp_path: Path, make_sessions: Callable[..., Sessions]
) -> None:
    """Mallory plants the cookies of a session of hers, or of none, in the browser of Alice, who then logs in."""
    server = start(grid, trusted, tmp_path, make_sessions, implicit="any")
    alice, mallory = over_tls(grid.person("Alice")), over_tls(grid.person("Mallory"))
    hers = dict(server.call("system.auth2", peer=mallory).cookies)
    for planted in (hers, {"clarens_username": OTHER, "clarens_password": "a" * 40}):
        cookie = "; ".join(f"{name}={value}" for name, value in planted.items())
        reply = server.call("system.auth2", peer=alice, cookie=cookie)
        given = dict(reply.cookies)
        assert given["clarens_username"] != planted["clarens_username"]
        assert given["clarens_password"] != planted["clarens_password"]
        assert reply.result[2] == given["clarens_password"]
        fixed = "; ".join(
            [f"clarens_username={given['clarens_username']}", f"clarens_password={planted['clarens_password']}"]
        )
        assert "error" in server.call("who.am_i", cookie=fixed).body
    cookie = "; ".join(f"{name}={value}" for name, value in hers.items())
    assert server.call("who.am_i", cookie=cookie).result[1] == "Mallory"


def test_logging_out_takes_the_cookies_back(server: Server, grid: Any) -> None:
    peer = over_tls(grid.person("Alice"))
    cookie = "; ".join(f"{name}={value}" for name, value in server.call("system.auth2", peer=peer).cookies)
    reply = server.call("system.logout", cookie=cookie, peer=peer)
    assert reply.result is True
    assert reply.cookies == [("clarens_username", ""), ("clarens_password", "")]
    assert reply.head.count("Max-Age=0") == 2
    assert "there is no such session" in server.call("who.am_i", cookie=cookie).fault


def test_cookies_that_were_smuggled_in_are_refused(server: Server, grid: Any) -> None:
    given = dict(server.call("system.auth2", peer=over_tls(grid.person("Alice"))).cookies)
    cookie = "; ".join(f"{name}={value}" for name, value in given.items())
    for smuggled in (
        f"clarens_username={OTHER}; {cookie}",
        f"{cookie}; clarens_password={'0' * 40}",
        "clarens_username=x",
    ):
        assert "the cookies are refused" in server.call("who.am_i", cookie=smuggled).fault


def test_the_secret_of_a_session_over_tls_is_worth_nothing_once_it_was_sent_without(server: Server, grid: Any) -> None:
    secret = server.call("system.auth2", basic=(NAME, "BROWSER"), peer=over_tls(grid.person("Alice"))).result[2]
    far = Peer("tcp", "192.0.2.1", 7, local=False)
    assert (
        "its secret was sent without: it has been ended"
        in server.call("who.am_i", basic=(NAME, secret), peer=far).fault
    )
    assert server.sessions.find(NAME) is None


def test_a_password_that_looks_like_a_secret_is_left_to_its_user(
    grid: Any, trusted: Path, tmp_path: Path, make_sessions: Callable[..., Sessions]
) -> None:
    """Mallory calls her session what a user is called; the user's password has the form of a session's secret."""
    from argon2 import PasswordHasher

    from anycore.identity.password_file import User, write_users

    own = grid.person("server")
    (tmp_path / "server.pem").write_text(own.pem + own.key_pem)
    password = "2jmj7l5rSw0yVb/vlWAYkK/YBwk="
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)
    write_users(tmp_path / "passwords", {"operator": User("operator", hashed)})
    sessions = make_sessions(challenge=True, certificate=str(tmp_path / "server.pem"), client_ca=str(trusted))
    server = Server(sessions, own.pem, PasswordFile(tmp_path / "passwords"))
    server.call("system.auth2", "operator", peer=over_tls(grid.person("Mallory")))
    assert sessions.find("operator") is not None
    assert server.call("who.am_i", basic=("operator", password)).result[:2] == ["password", "operator"]


def test_multicall_and_batches_go_with_the_session(server: Server, grid: Any) -> None:
    secret = server.log_in(grid.person("Alice"))
    inner = [{"methodName": "who.quickly", "params": []}] * 2
    assert server.call("system.multicall", inner, basic=(NAME, secret)).result == [["session"], ["session"]]


@pytest.mark.parametrize("fault", ["no file", "no key", "another key", "no authority", "elliptic"])
def test_settings_that_are_of_no_use(
    fault: str, grid: Any, trusted: Path, tmp_path: Path, make_sessions: Callable[..., Sessions]
) -> None:
    own = grid.person("server")
    texts = {"no key": own.pem, "another key": own.pem + grid.person("x").key_pem}
    if fault == "elliptic":
        own = grid.person("server", key=grid.elliptic())
    file = tmp_path / "server.pem"
    if fault != "no file":
        file.write_text(texts.get(fault, own.pem + own.key_pem))
    authorities = tmp_path / "nothing" if fault == "no authority" else trusted
    sessions = make_sessions(challenge=True, certificate=str(file), client_ca=str(authorities))
    with pytest.raises(ChallengeError):
        Challenger(sessions, lambda _: Identity("x", "certificate"))


def test_an_old_secret_is_not_remembered_for_a_session_that_has_begun_anew(
    server: Server, grid: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session begins anew just after the old secret was found to be right."""
    alice = grid.person("Alice")
    first = server.log_in(alice)
    assert server.call("who.am_i", basic=(NAME, first)).status == 200
    second = server.log_in(alice)
    touch = server.sessions.touch

    def and_then(session: Any) -> bool:
        server.sessions.redeem(NAME, base64.b64decode(second))
        return touch(session)

    monkeypatch.setattr(server.sessions, "touch", and_then)
    spelled = base64.b64decode(first).hex()  # so that it is looked at anew
    assert server.call("who.am_i", basic=(NAME, spelled)).status == 200
    monkeypatch.undo()
    assert "the secret is not that of the session" in server.call("who.am_i", basic=(NAME, spelled)).fault
    assert server.call("who.am_i", basic=(NAME, second)).status == 200


def test_a_store_that_fails_is_no_way_in(server: Server, grid: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from anycore.store import StoreError

    secret = server.log_in(grid.person("Alice"))

    def fail(*_: Any) -> Any:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(server.sessions, "raw", fail)
    reply = server.call("who.am_i", basic=(NAME, secret))
    assert "sessions cannot be looked up now" in reply.fault
    assert "disk" not in reply.fault
    assert server.call("who.am_i").result[0] == "anonymous"
