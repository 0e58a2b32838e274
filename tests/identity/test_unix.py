from __future__ import annotations

import grp
import os
import pwd
from typing import Any

import pytest

from anycore.identity import unix
from anycore.identity.unix import UnixAuthenticator
from anycore.kernel.call import NO_CREDENTIALS, Identity, Peer


def test_the_user_and_its_groups_are_those_of_the_system() -> None:
    uid = os.getuid()
    found = UnixAuthenticator().authenticate(Peer("unix", uid=uid, gid=os.getgid(), pid=1), NO_CREDENTIALS)
    assert found is not None
    assert found.name == pwd.getpwuid(uid).pw_name and found.kind == "unix" and found.names == (f"uid:{uid}",)
    assert grp.getgrgid(pwd.getpwuid(uid).pw_gid).gr_name in found.groups


def test_a_user_that_the_system_does_not_know_has_a_number() -> None:
    uid = max(user.pw_uid for user in pwd.getpwall()) + 4242
    found = UnixAuthenticator().authenticate(Peer("unix", uid=uid), NO_CREDENTIALS)
    assert found is not None and found.name == f"uid:{uid}" and not found.groups


def test_nothing_is_said_of_others_and_of_those_behind_a_proxy() -> None:
    assert UnixAuthenticator().authenticate(Peer("tcp", "127.0.0.1"), NO_CREDENTIALS) is None
    proxied = UnixAuthenticator(proxied=True)
    assert proxied.quick(Peer("unix", uid=0), NO_CREDENTIALS)
    assert proxied.authenticate(Peer("unix", uid=0), NO_CREDENTIALS) is None


def test_names_are_remembered_for_a_while_and_looked_up_in_a_thread(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    look_up = unix._identity

    def asking(uid: int) -> Identity:
        asked.append(uid)
        return look_up(uid)

    monkeypatch.setattr(unix, "_identity", asking)
    door, peer = UnixAuthenticator(cache_time=10.0, clock=clock), Peer("unix", uid=os.getuid())
    assert not door.quick(peer, NO_CREDENTIALS)
    first = door.authenticate(peer, NO_CREDENTIALS)
    assert door.quick(peer, NO_CREDENTIALS)
    clock.now += 12
    assert not door.quick(peer, NO_CREDENTIALS)
    assert door.authenticate(peer, NO_CREDENTIALS) is first
    clock.now += 10
    assert door.authenticate(peer, NO_CREDENTIALS) == first
    assert len(asked) == 2
