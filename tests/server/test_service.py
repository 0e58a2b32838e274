"""A server as a process of its machine, as an operator starts it: background, other user, systemd, and servers that replace it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anycore.clients import connect
from anycore.server.control import ControlError, ask

SECONDS = 40
NOBODY = 65534
PLUGIN = """
import os, time
from anycore import Plugin, exposed

class Sample(Plugin):
    @exposed
    def pid(self) -> int:
        return os.getpid()

    @exposed
    def users(self) -> list:
        return [os.getresuid(), os.getresgid(), os.getgroups(), os.environ.get("HOME"), os.getcwd()]

    @exposed
    def status(self) -> str:
        return open("/proc/self/status").read()

    @exposed
    def late(self) -> str:
        import email.mime.audio  # what nobody has imported before
        return "imported"

    @exposed(quick=True)
    def hang(self, seconds: float) -> None:
        time.sleep(seconds)

    @exposed
    def touch(self, path: str) -> int:
        open(path, "w").close()
        return os.stat(path).st_mode & 0o777

    @exposed
    def listing(self) -> list:
        return sorted(os.listdir("/"))
"""
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def wait_until(true: Callable[[], Any], what: str = "it") -> Any:
    until = time.monotonic() + SECONDS
    while not (found := true()):
        assert time.monotonic() < until, f"{what} did not come about"
        time.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class House:
    """A directory with a plugin, and the servers that were started there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.control = str(folder / "c.sock")
        self.pidfile = folder / "p.pid"
        self.log = folder / "log"
        self.pids: set[int] = set()
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "sample.py").write_text(PLUGIN)

    def command(self, *options: str, listen: str = "http://127.0.0.1:0") -> list[str]:
        own = ["--control", self.control, "--pidfile", str(self.pidfile)]
        return [sys.executable, "-m", "anycore", "serve", "sample.py", "--listen", listen, *own, *options]

    def start(self, *options: str, ready: bool = True, **environment: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.command(*options), cwd=self.folder, env={**os.environ, **environment},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        self.processes.append(process)
        self.pids.add(process.pid)
        if ready:
            wait_until(lambda: self.answers() == process.pid or process.poll() is not None, "the server")
            assert process.poll() is None, self.log.read_text()
        return process

    def answers(self) -> int:
        """Return the number of the process that answers at the control socket."""
        try:
            return int(self.ask("status")["pid"])
        except OSError:
            return 0

    def ask(self, command: str, **arguments: Any) -> Any:
        found = ask(self.control, command, timeout=SECONDS, **arguments)
        if isinstance(found, dict) and "pid" in found:
            self.pids.add(found["pid"])
        return found

    @property
    def url(self) -> str:
        return str(self.ask("status")["listeners"][0])

    def call(self, name: str, *arguments: Any) -> Any:
        with connect(self.url, timeout=SECONDS) as client:
            return client.call(f"sample.{name}", *arguments)

    def end(self) -> None:
        if Path(self.control).exists():
            self.answers()
        for pid in self.pids:
            if alive(pid) and b"anycore" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait(SECONDS)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.end()


@pytest.fixture
def public(house: House) -> House:
    """The house, where everybody may go."""
    folder = house.folder
    while folder != Path("/"):
        folder.chmod(folder.stat().st_mode | 0o055)
        folder = folder.parent
    return house


# In the background.


def test_the_command_returns_when_the_server_is_ready_in_the_background(house: House) -> None:
    done = subprocess.run(
        house.command("--daemonize"), cwd=house.folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = house.answers()
    assert house.pidfile.read_text() == f"{pid}\n"
    assert os.getsid(pid) not in (pid, os.getsid(0)), "a session of its own, in which it cannot get a terminal"
    assert {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in (0, 1, 2)} == {"/dev/null"}
    assert house.call("pid") == pid
    house.ask("stop")
    wait_until(lambda: not alive(pid))
    assert not house.pidfile.exists()
    assert not Path(house.control).exists()


def test_what_goes_to_a_file_goes_on_going_there(house: House) -> None:
    with house.log.open("wb") as log:
        done = subprocess.run(
            house.command("--daemonize"), cwd=house.folder, stderr=log, stdout=log, timeout=SECONDS, check=False
        )
    assert done.returncode == 0
    pid = house.answers()
    house.ask("stop")
    wait_until(lambda: not alive(pid))
    assert "finishing" in house.log.read_text() or "stopped" in house.log.read_text()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--core", "nonsense"], 3, "there is no core 'nonsense'"),
        (["--listen", "http://127.0.0.1:{taken}"], 5, "another program has the port"),
        (["missing.py"], 5, "missing.py"),
    ],
)
def test_a_failure_is_seen_where_it_was_started(house: House, options: list[str], code: int, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = [option.format(taken=taken.getsockname()[1]) for option in options]
        done = subprocess.run(
            house.command("--daemonize", *options), cwd=house.folder, capture_output=True, text=True, timeout=SECONDS,
            check=False,
        )  # fmt: skip
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert not house.pidfile.exists()


def test_a_second_server_is_refused_by_the_pid_file(house: House) -> None:
    first = house.start()
    second = house.start("--control", f"{house.control}2", ready=False)
    assert second.wait(SECONDS) == 5
    assert f"process {first.pid} runs already" in house.log.read_text()
    assert house.call("pid") == first.pid


# As another user.


@AS_ROOT
@pytest.mark.parametrize("core", ["asyncio", "threaded", "prefork"])
def test_it_becomes_another_user_for_good(public: House, core: str) -> None:
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
def test_root_only_keys_and_low_ports_are_opened_before(public: House) -> None:
    from anycore.testing.certificate import CERTIFICATE

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
def test_umask_and_changed_root_directory(public: House) -> None:
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
    wait_until(lambda: not alive(pid))
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
def test_who_or_what_does_not_exist_is_told(house: House, options: list[str], said: str) -> None:
    process = house.start(*options, ready=False)
    assert process.wait(SECONDS) == 5
    assert said in house.log.read_text()


# Under systemd.


class Systemd:
    """What listens where systemd would."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[tuple[int, dict[str, str]]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            data, ancillary, _, _ = self._socket.recvmsg(4096, 256)
            if data == b"end":
                return
            pid = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
            with self._changed:
                self.said.append((pid, dict(line.split("=", 1) for line in data.decode().splitlines())))
                self._changed.notify_all()

    def until(self, pid: int, field: str, after: int = 0) -> int:
        """Wait until a process has said something; return how much was said by then."""

        def found() -> int:
            return next(
                (n for n, (who, what) in enumerate(self.said, 1) if n > after and who == pid and field in what), 0
            )

        with self._changed:
            assert self._changed.wait_for(found, SECONDS), f"{pid} has not said {field}: {self.said}"
            return found()

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", str(self.path))
        self._thread.join()
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path / "notify")
    yield made
    made.close()


def test_systemd_is_told_all_that_happens(house: House, systemd: Systemd) -> None:
    old = house.start(NOTIFY_SOCKET=str(systemd.path), WATCHDOG_USEC="500000").pid
    seen = systemd.until(old, "READY")
    assert "serving http://127.0.0.1:" in systemd.said[seen - 1][1]["STATUS"]
    seen = systemd.until(old, "WATCHDOG", seen)
    os.kill(old, signal.SIGHUP)
    seen = systemd.until(old, "RELOADING", seen)
    assert int(systemd.said[seen - 1][1]["MONOTONIC_USEC"]) > 0
    seen = systemd.until(old, "READY", seen)
    new = house.ask("restart")["pid"]
    seen = systemd.until(old, "RELOADING", seen)
    seen = systemd.until(old, "MAINPID", seen)
    assert systemd.said[seen - 1][1]["MAINPID"] == str(new)
    seen = systemd.until(new, "READY", seen)
    assert all(who == new for who, _ in systemd.said[seen:]), "the old one has said all that it may"
    seen = systemd.until(new, "WATCHDOG", seen)
    os.kill(new, signal.SIGTERM)
    systemd.until(new, "STOPPING", seen)


def test_a_server_that_hangs_gives_no_sign_of_life(house: House, systemd: Systemd) -> None:
    pid = house.start("--core", "asyncio", NOTIFY_SOCKET=str(systemd.path), WATCHDOG_USEC="400000").pid
    systemd.until(pid, "WATCHDOG")
    calling = threading.Thread(target=lambda: house.call("hang", 3.0))
    calling.start()
    time.sleep(1.0)  # it hangs by now, and for two seconds more
    before = len(systemd.said)
    time.sleep(1.0)
    assert [what for _, what in systemd.said[before:] if "WATCHDOG" in what] == []
    calling.join(SECONDS)
    systemd.until(pid, "WATCHDOG", len(systemd.said))


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd is not installed")
def test_sockets_that_systemd_has_opened_are_served(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with house.log.open("ab") as log:
        process = subprocess.Popen(
            ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", *house.command(listen=f"http://127.0.0.1:{port}")],
            cwd=house.folder, stdout=subprocess.DEVNULL, stderr=log,
        )  # fmt: skip
    house.processes.append(process)
    house.pids.add(process.pid)

    def knock() -> bool:
        with socket.socket() as peer:
            return peer.connect_ex(("127.0.0.1", port)) == 0

    wait_until(knock, "the activator")
    wait_until(house.answers, "the server")
    assert house.url == f"http://127.0.0.1:{port}"
    assert house.call("pid") == house.answers()
    old = house.answers()
    new = house.ask("restart")["pid"]
    wait_until(lambda: not alive(old))
    assert house.call("pid") == new


# Another server takes its place.


@pytest.mark.parametrize("how", ["control", "signal"])
def test_pid_file_control_socket_and_port_go_to_the_new_server(house: House, how: str) -> None:
    unix = f"unix+http://{house.folder}/http.sock"
    old = house.start("--listen", unix).pid
    url = house.url
    if how == "control":
        assert house.ask("restart")["replaced"] == old
    else:
        os.kill(old, signal.SIGUSR2)
    new = wait_until(lambda: (found := house.answers()) and found != old and found, "another server")
    wait_until(lambda: not alive(old), "the end of the old one")
    assert house.pidfile.read_text() == f"{new}\n"
    assert house.url == url
    assert house.call("pid") == new
    with connect(unix, timeout=SECONDS) as client:
        assert client.call("sample.pid") == new
    house.ask("stop")
    wait_until(lambda: not alive(new))
    assert sorted(path.name for path in house.folder.iterdir() if path.name != "__pycache__") == ["log", "sample.py"]


@pytest.mark.parametrize("broken", ["plugin", "configuration"])
def test_when_the_new_one_cannot_start_the_old_one_goes_on_and_says_why(house: House, broken: str) -> None:
    (house.folder / "anycore.toml").write_text("[limits]\nidle_time = 60\n")
    old = house.start().pid
    if broken == "plugin":
        (house.folder / "sample.py").write_text("syntax error")
    else:
        (house.folder / "anycore.toml").write_text("[limits]\nidle_tim = 60\n")
    with pytest.raises(ControlError, match=r"could not start, this one goes on: .*(sample.py|idle_tim)"):
        house.ask("restart")
    assert house.answers() == old
    assert house.call("pid") == old
    assert house.pidfile.read_text() == f"{old}\n"
    assert "restart: the new server could not start" in house.log.read_text()
    os.kill(old, signal.SIGUSR2)
    wait_until(lambda: house.log.read_text().count("restart: the new server could not start") == 2)
    assert house.call("pid") == old


def test_a_server_that_is_started_by_hand_takes_over(house: House) -> None:
    old = house.start()
    url = house.url
    new = house.start("--take-over")
    assert old.wait(SECONDS) == 0
    assert house.url == url
    assert house.call("pid") == new.pid
    assert house.pidfile.read_text() == f"{new.pid}\n"


def test_taking_over_from_nobody_is_an_ordinary_start(house: House) -> None:
    process = house.start("--take-over")
    assert house.call("pid") == process.pid


def test_a_held_connection_goes_on_until_its_peer_or_the_time_ends_it(house: House) -> None:
    from anycore.rpyc.connecting import connect as connect_rpyc

    old = house.start("--listen", "rpyc://127.0.0.1:0", "--drain-time", "60").pid
    port = int(house.ask("status")["listeners"][1].rpartition(":")[2])
    held = connect_rpyc("127.0.0.1", port)
    assert held.root.sample.pid() == old
    new = house.ask("restart")["pid"]
    assert held.root.sample.pid() == old
    with connect_rpyc("127.0.0.1", port) as fresh:
        assert fresh.root.sample.pid() == new
    held.close()
    wait_until(lambda: not alive(old), "the end of the old one")
