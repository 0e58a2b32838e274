from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from anycore.identity.authority import AuthorityError, Wanted
from anycore.identity.authority.invitations import Invitations
from anycore.store import Store, open_store

WANTED = Wanted("node1.example.org", dns=("node1.example.org",), usages=("server", "client"))


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> Store:
    return open_store("memory:")


def test_a_token_is_used_once(store: Store, clock: Clock) -> None:
    invitations = Invitations(store, clock)
    token = invitations.create(WANTED, 60)
    assert token.startswith("enrol_") and len(token) == 49
    assert invitations.take(token).wanted == WANTED
    for _ in range(2):
        with pytest.raises(AuthorityError, match="unknown, was used already, or has expired"):
            invitations.take(token)


def test_only_its_hash_is_kept(store: Store, clock: Clock) -> None:
    token = Invitations(store, clock).create(WANTED, 60)
    kept = b"".join(key + value for key, value in store.scan())
    assert b"node1" in kept
    assert token.removeprefix("enrol_").encode() not in kept and token[6:20].encode() not in kept


def test_tokens_that_are_none(store: Store, clock: Clock) -> None:
    invitations = Invitations(store, clock)
    token = invitations.create(WANTED, 60)
    for wrong in (
        "",
        "x",
        token[:-1],
        token + "x",
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        "enrol_" + "x" * 1_000_000,
        token + "\n",
    ):
        with pytest.raises(AuthorityError):
            invitations.take(wrong)
    assert invitations.take(token).wanted == WANTED


def test_a_token_expires(store: Store, clock: Clock) -> None:
    invitations = Invitations(store, clock)
    token = invitations.create(WANTED, 60)
    clock.now += 61
    with pytest.raises(AuthorityError):
        invitations.take(token)


def test_a_token_that_was_taken_in_vain(store: Store, clock: Clock) -> None:
    invitations = Invitations(store, clock)
    token = invitations.create(WANTED, 60)
    taken = invitations.take(token)
    invitations.give_back(token, taken)
    assert invitations.take(token) == taken
    clock.now += 61
    invitations.give_back(token, taken)
    assert invitations.entries() == []


def test_tokens_are_listed_and_withdrawn(store: Store, clock: Clock) -> None:
    invitations = Invitations(store, clock)
    late, early = invitations.create(WANTED, 600), invitations.create(Wanted("ada"), 60)
    entries = invitations.entries()
    assert [one.wanted.name for _, one in entries] == ["ada", "node1.example.org"]
    assert [one.wanted.name for one in invitations.withdraw(entries[0][0])] == ["ada"]
    assert [one.wanted.name for one in invitations.withdraw("node1.example.org")] == ["node1.example.org"]
    assert invitations.withdraw("nobody") == [] == invitations.entries()
    for token in (late, early):
        with pytest.raises(AuthorityError):
            invitations.take(token)


def test_nothing_is_promised_that_no_certificate_can_say(store: Store, clock: Clock) -> None:
    with pytest.raises(AuthorityError, match="no host name"):
        Invitations(store, clock).create(Wanted("a", dns=("a b",)), 60)


def test_one_of_several_threads_gets_it(store: Store, clock: Clock) -> None:
    invitations, count = Invitations(store, clock), 8
    for _ in range(10):
        token, together = invitations.create(WANTED, 60), threading.Barrier(count)

        def race(_: int, token: str = token, together: threading.Barrier = together) -> bool:
            together.wait(30)
            try:
                invitations.take(token)
            except AuthorityError:
                return False
            return True

        with ThreadPoolExecutor(count) as threads:
            assert sum(threads.map(race, range(count))) == 1


def test_one_of_several_processes_gets_it(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'store'}"
    with open_store(url) as opened:
        tokens = [Invitations(opened).create(WANTED, 600) for _ in range(20)]
    program = (
        "import sys\nfrom anycore.identity.authority import AuthorityError\n"
        "from anycore.identity.authority.invitations import Invitations\nfrom anycore.store import open_store\n"
        "with open_store(sys.argv[1]) as store:\n"
        "    print('ready', flush=True)\n    sys.stdin.readline()\n"
        "    for token in sys.argv[2:]:\n"
        "        try:\n            Invitations(store).take(token)\n            print(token)\n"
        "        except AuthorityError:\n            pass\n"
    )
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen([sys.executable, "-c", program, url, *tokens], stdin=pipe, stdout=pipe, text=True)
        for _ in range(3)
    ]
    for process in running:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    taken = []
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        taken += process.communicate(timeout=60)[0].split()
        assert process.returncode == 0
    assert sorted(taken) == sorted(tokens)
