"""The control socket: who gets in, what is said, and who has its file."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anycore.server.errors import StartupError
from anycore.server.process.control import ControlError, ControlSocket, Line, ask

SECONDS = 30


def refuse(_line: Line, _request: dict[str, Any]) -> Any:
    raise ControlError("not today")


def fail(_line: Line, _request: dict[str, Any]) -> Any:
    raise LookupError("lost")


@pytest.fixture
def control(tmp_path: Path) -> Iterator[ControlSocket]:
    made = ControlSocket(str(tmp_path / "run" / "control.sock"))
    made.start({"echo": lambda _, request: request, "refuse": refuse, "fail": fail})
    yield made
    made.close()
    assert not made.path.exists()


def test_a_command_is_answered(control: ControlSocket) -> None:
    assert ask(str(control.path), "echo", more=[1, "ü"]) == {"command": "echo", "more": [1, "ü"]}
    with pytest.raises(ControlError, match=r"^not today$"):
        ask(str(control.path), "refuse")
    with pytest.raises(ControlError, match="there is no command 'other'; there are: echo, fail, refuse"):
        ask(str(control.path), "other")


def test_a_failure_is_told_and_logged(control: ControlSocket, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ControlError, match="its log says more: LookupError: lost"):
        ask(str(control.path), "fail")
    assert "command fail failed" in caplog.text


def test_several_requests_on_one_connection_and_nonsense(control: ControlSocket) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(SECONDS)
        peer.connect(str(control.path))
        line = Line(peer)
        for number in range(3):
            line.send({"command": "echo", "number": number})
            assert line.receive()[0]["result"]["number"] == number
        odd: Any
        for odd in ([], "text", {"command": ["echo"]}, {}):
            line.send(odd)
            assert "there is no command" in line.receive()[0]["error"]
        peer.sendall(b"{nonsense\n")
        assert line.receive()[0] is None
    for flood in (b"x" * 300_000, b"[" * 70_000 + b"\n"):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(SECONDS)
            peer.connect(str(control.path))
            try:
                peer.sendall(flood)
                assert peer.recv(100) == b""
            except ConnectionError:
                pass  # as well
    assert ask(str(control.path), "echo")


def test_its_file_is_for_its_user_alone(control: ControlSocket) -> None:
    assert control.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_somebody_else_is_not_let_in_even_if_the_file_lets_them(
    control: ControlSocket, caplog: pytest.LogCaptureFixture
) -> None:
    control.path.chmod(0o666)
    folder = control.path.parent
    while folder != Path("/"):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
        folder = folder.parent
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(SECONDS)
        child = os.fork()
        if child == 0:  # nothing is imported after this, as nobody may not read it
            try:
                os.setresuid(65534, 65534, 65534)
                peer.connect(str(control.path))
                peer.sendall(b'{"command": "echo"}\n')
                found = peer.recv(1000)
                os._exit(0 if b"only root and the server's own user" in found else 1)
            finally:
                os._exit(2)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert "of user 65534 is not let in" in caplog.text


def test_one_that_was_left_behind_is_taken_and_one_that_answers_is_not(tmp_path: Path, control: ControlSocket) -> None:
    with pytest.raises(StartupError, match="another server answers at the control socket"):
        ControlSocket(str(control.path))
    assert ask(str(control.path), "echo")
    left = tmp_path / "left"
    script = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(left)], check=True)
    made = ControlSocket(str(left))
    made.close()
    assert not left.exists()
    left.write_text("mine")
    with pytest.raises(StartupError, match="there is a file that is no socket"):
        ControlSocket(str(left))
    assert left.read_text() == "mine"


def test_it_is_handed_on_with_what_waits_in_it(tmp_path: Path) -> None:
    path = tmp_path / "c"
    old = ControlSocket(str(path))
    old.start({"who": lambda *_: "old"})
    new = ControlSocket(str(path), bound=old.socket.dup())
    old.hand_on()
    old.close()
    answers: list[Any] = []
    early = threading.Thread(target=lambda: answers.append(ask(str(path), "who")))
    early.start()
    new.start({"who": lambda *_: "new"})
    early.join(SECONDS)
    assert answers == ["new"]
    new.close()
    assert not path.exists()


def test_an_answer_that_is_due_is_given_before_the_end(tmp_path: Path) -> None:
    going, go = threading.Event(), threading.Event()

    def wait(*_: Any) -> str:
        going.set()
        go.wait(SECONDS)
        return "done"

    control = ControlSocket(str(tmp_path / "c"))
    control.start({"wait": wait})
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(ask(str(control.path), "wait")))
    asking.start()
    assert going.wait(SECONDS)
    closing = threading.Thread(target=control.close)
    closing.start()
    go.set()
    closing.join(SECONDS)
    asking.join(SECONDS)
    assert answers == ["done"]


def test_files_go_along() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket() as given:
        sending = threading.Thread(target=Line(ours).send, args=({"a": "b" * 200_000}, [given.fileno()]))
        sending.start()
        value, descriptors = Line(theirs).receive(most_descriptors=4)
        assert value == {"a": "b" * 200_000}
        sending.join(SECONDS)
        assert len(descriptors) == 1
        os.close(descriptors[0])
