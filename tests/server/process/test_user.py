"""A server that becomes another user."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anycore.clients import connect
from anycore.server.process.control import ControlError
from anycore.testing.certificate import CERTIFICATE

Home = Any  # as the fixtures have it; a conftest cannot be imported
Until = Callable[..., Any]
Lives = Callable[[int], bool]
SECONDS = 40
NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@AS_ROOT
@pytest.mark.parametrize("core", ["asyncio", "prefork"])
def test_it_becomes_another_user_for_good(public: Home, core: str) -> None:
    public.start("--user", "nobody", "--core", core)
    uids, gids, groups, home, folder = public.call("users")
    assert (uids, gids) == ([NOBODY] * 3, [NOBODY] * 3)
    assert 0 not in groups
    assert home == "/nonexistent"
    assert folder == str(public.folder)
    status = public.call("status")
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    assert re.search(r"^CapPrm:\t0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert public.pidfile.stat().st_uid == NOBODY
    assert Path(public.control).stat().st_uid == NOBODY
    # Every wire, page and fault still works, whatever Python has to import for it.
    with connect(public.url.replace("http", "jsonrpc+http", 1), timeout=SECONDS) as client:
        assert "sample.pid" in client.methods()
    assert public.ask("workers")
    public.ask("stop")


@AS_ROOT
def test_root_only_keys_and_low_ports_are_opened_before(public: Home) -> None:
    certificate = public.folder / "key.pem"
    certificate.write_text(CERTIFICATE)
    certificate.chmod(0o600)
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 987))
        except OSError as error:
            pytest.skip(f"port 987 cannot be had: {error}")
    public.start(
        "--user", "nobody", "--listen", "https://127.0.0.1:987", "--certificate", str(certificate),
        "--listen", f"unix+rpyc://{public.folder}/rpyc.sock",
    )  # fmt: skip
    assert (public.folder / "rpyc.sock").stat().st_uid == NOBODY
    assert public.call("users")[0] == [NOBODY] * 3


@AS_ROOT
def test_umask_and_changed_root_directory(public: Home, until: Until, lives: Lives) -> None:
    jail = public.folder / "jail"
    (jail / "tmp").mkdir(parents=True)
    (jail / "tmp").chmod(0o777)
    public.start("--user", "nobody", "--chroot", str(jail), "--umask", "027")
    assert public.call("listing") == ["tmp"]
    assert public.call("users")[4] == "/"
    assert public.call("touch", "/tmp/new") == 0o640
    with pytest.raises(ControlError, match="chroot"):
        public.ask("restart")
    pid = public.answers()
    public.ask("stop")
    until(lambda: not lives(pid))
    assert public.pidfile.read_text() == "" if public.pidfile.exists() else True


@AS_ROOT
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--user", "nobody-of-that-name"], "there is no user 'nobody-of-that-name'"),
        (["--group", "no-such-group"], "there is no group 'no-such-group'"),
        (["--chroot", "/no/such/directory"], "cannot make /no/such/directory the root directory"),
    ],
)
def test_who_or_what_does_not_exist_is_told(home: Home, options: list[str], said: str) -> None:
    process = home.start(*options, ready=False)
    assert process.wait(SECONDS) == 5
    assert said in home.log.read_text()


@AS_ROOT
def test_only_a_server_that_root_starts_can_take_over_what_root_alone_can_read(public: Home) -> None:
    certificate = public.folder / "key.pem"
    certificate.write_text(CERTIFICATE)
    certificate.chmod(0o600)
    options = ["--user", "nobody", "--certificate", str(certificate), "--listen", "https://127.0.0.1:0"]
    old = public.start(*options)
    with pytest.raises(ControlError, match=r"this (one|server) goes on"):
        public.ask("restart")
    assert public.call("pid") == old.pid
    new = public.start("--take-over", *options)
    assert old.wait(SECONDS) == 0
    assert public.call("pid") == new.pid
    assert public.call("users")[0] == [NOBODY] * 3
    assert public.pidfile.read_text() == f"{new.pid}\n"
