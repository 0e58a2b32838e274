"""The pid file: its lock says who runs, whatever is written in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from anycore.server.errors import StartupError
from anycore.server.process.pidfile import PidFile
from anycore.server.process.privileges import Account


def test_it_holds_the_number_and_goes_with_the_process(tmp_path: Path) -> None:
    path = tmp_path / "run" / "of" / "anycore.pid"
    file = PidFile(path)
    assert path.read_text() == f"{os.getpid()}\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.parent.stat().st_mode & 0o777 == 0o755
    file.remove()
    assert not path.exists()
    file.remove()  # once more changes nothing


def test_a_second_server_is_refused_and_told_who_runs(tmp_path: Path) -> None:
    file = PidFile(tmp_path / "p")
    with pytest.raises(StartupError, match=f"is locked: process {os.getpid()} runs already; stop it, or choose"):
        PidFile(tmp_path / "p")
    assert (tmp_path / "p").read_text() == f"{os.getpid()}\n"
    file.remove()


def test_one_that_was_left_behind_is_taken_whosever_number_it_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "p"
    script = "import os, sys; from anycore.server.process.pidfile import PidFile; PidFile(sys.argv[1]); os._exit(9)"
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == 9
    number = path.read_text().strip()
    file = PidFile(path)
    assert f"was left behind by process {number}, which has ended" in caplog.text
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()
    path.write_text("1\n")  # of a process that lives, and is none of ours
    file = PidFile(path)
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()


def test_the_lock_goes_with_the_descriptor_to_the_next_server(tmp_path: Path) -> None:
    path = tmp_path / "p"
    old = PidFile(path)
    new = PidFile(path, descriptor=os.dup(old.descriptor))
    old.close()
    old.remove()
    assert path.exists()
    with pytest.raises(StartupError):
        PidFile(path)
    new.remove()
    assert not path.exists()


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=r"cannot write the pid file .*File exists; choose another with --pidfile"):
        PidFile(tmp_path / "file" / "p")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartupError, match="cannot write the pid file"):
        PidFile(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_file_and_directory_belong_to_the_user_that_the_server_becomes(tmp_path: Path) -> None:
    path = tmp_path / "run" / "p"
    file = PidFile(path, Account("nobody", 65534, 65533, "/"))
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65533)
    assert (path.parent.stat().st_uid, path.parent.stat().st_gid) == (65534, 65533)
    assert tmp_path.stat().st_uid == 0
    file.remove()
