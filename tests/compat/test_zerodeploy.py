"""Servers where nothing of ours is installed. The `ssh` of these tests runs everything on this machine."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from anycore.compat.rpyc.core.stream import SocketStream
from anycore.compat.rpyc.utils.zerodeploy import DeployedServer, MultiServerDeployment

SSH = """#!{python}
import os, select, socket, subprocess, sys
args = sys.argv[1:]
if args[0] == "-W":
    host, port = args[1].rsplit(":", 1)
    there = socket.create_connection((host, int(port)))
    while True:
        for ready in select.select([0, there], [], [])[0]:
            data = os.read(0, 65536) if ready == 0 else there.recv(65536)
            if not data:
                sys.exit()
            (there.sendall if ready == 0 else lambda data: os.write(1, data))(data)
sys.exit(subprocess.call(["sh", "-c", args[2]]))
"""


@pytest.fixture
def ssh(tmp_path: Path) -> list[str]:
    path = tmp_path / "ssh"
    path.write_text(SSH.format(python=sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return [str(path)]


def test_a_server_is_deployed_used_and_gone(ssh: list[str]) -> None:
    with DeployedServer("machine", python_executable=f"{sys.executable} -I -S", ssh=ssh) as server:
        with server.classic_connect() as conn:
            there = conn.eval("__import__('anycore').__file__")
            assert "anycore-" in there and Path(there).is_file()
            assert conn.modules.os.getpid() > 0
            assert conn.teleport(_square)(7) == 49
        with server.connect() as plain:
            plain.ping()
        port = server.remote_port
    assert not Path(there).exists()
    with pytest.raises(OSError):
        SocketStream.connect("localhost", port)


def test_several_at_once(ssh: list[str]) -> None:
    options: dict[str, Any] = {
        "python_executable": sys.executable,
        "ssh": ssh,
        "extra_setup": "import os\nos.environ['MARK'] = 'here'",
    }
    with MultiServerDeployment(["one", "two"], **options) as servers:
        assert len(servers) == 2
        conns = servers.classic_connect_all()
        assert [conn.modules.os.environ["MARK"] for conn in conns] == ["here", "here"]
        for conn in conns:
            conn.close()


def test_what_cannot_be_deployed_is_told(ssh: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConnectionError, match="no server was started on machine"):
        DeployedServer("machine", python_executable="/nonexistent/python", ssh=ssh)
    with pytest.raises(ValueError, match="user@host"):
        DeployedServer("-oProxyCommand=x", ssh=ssh)


def _square(x: int) -> int:
    return x * x
