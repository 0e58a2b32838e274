from __future__ import annotations

import threading
from typing import Any

import pytest

from anycore.identity import hashing
from anycore.identity.hashing import Checker, hash_password, verify_password
from anycore.kernel.authentication import AuthenticationFault


def test_a_hash_says_how_it_was_made_and_fits_its_password_alone() -> None:
    made = hash_password("pässword")
    assert made.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert verify_password(made, "pässword")
    assert not verify_password(made, "password")
    assert not verify_password("$argon2id$v=19$m=8,t=1,p=1$x$y", "password")
    assert not verify_password("nonsense", "password")


def test_nobody_takes_as_long_as_somebody(checked: list[str]) -> None:
    like = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$c29tZWhhc2g"
    checker = Checker()
    assert not checker.check(None, "x", like)
    assert not checker.check(None, "x", like)
    assert len(checked) == 2
    assert checked[0] == checked[1] and checked[0].startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert checked[0] != like


def test_a_few_run_a_few_wait_and_the_rest_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    go, at_once, most = threading.Event(), 0, 0
    lock = threading.Lock()
    entered = threading.Semaphore(0)

    def slow(hashed: str, password: str) -> bool:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        entered.release()
        assert go.wait(30)
        with lock:
            at_once -= 1
        return True

    monkeypatch.setattr(hashing, "verify_password", slow)
    checker = Checker(checks=2)
    results: list[Any] = []

    def check() -> None:
        try:
            results.append(checker.check("hash", "x"))
        except AuthenticationFault as fault:
            results.append(fault)
            refused.release()

    refused = threading.Semaphore(0)
    threads = [threading.Thread(target=check) for _ in range(25)]
    for thread in threads:
        thread.start()
    for _ in range(15):  # two run, eight wait
        assert refused.acquire(timeout=30)
    assert entered.acquire(timeout=30) and entered.acquire(timeout=30)
    go.set()
    for thread in threads:
        thread.join(30)
    faults = [one for one in results if isinstance(one, AuthenticationFault)]
    assert len(faults) == 15 and len(results) == 25
    assert all(fault.retry_after for fault in faults)
    assert most == 2
