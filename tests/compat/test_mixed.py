"""A server of the original with a client of the facade, and the other way round: neither notices."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .conftest import Start

SCRIPTS = Path(__file__).parent / "mixed"
SERVERS = ["threaded", "pool", "forking", "oneshot"]
PAIRS = [("original", "facade"), ("facade", "original"), ("facade", "facade")]


def talk(start: Start, server: str, client: str, name: str, *arguments: str) -> list[str]:
    serving = start(server, SCRIPTS / f"{name}_server.py", *arguments)
    try:
        assert serving.stdin is not None and serving.stdout is not None and serving.stderr is not None
        port = serving.stdout.readline().strip()
        assert port, serving.stderr.read()
        asking = start(client, SCRIPTS / f"{name}_client.py", port)
        out, err = asking.communicate(timeout=40)
        assert asking.returncode == 0, err
        left, complaints = serving.communicate("stop\n", timeout=20)
        assert serving.returncode == 0, complaints
        return [*out.splitlines(), *left.splitlines()]
    finally:
        if serving.poll() is None:
            serving.kill()
            serving.communicate()


@pytest.mark.parametrize("kind", SERVERS)
def test_services(start: Start, kind: str) -> None:
    said = talk(start, "original", "original", "service", kind)
    assert len(said) > 8
    for server, client in PAIRS:
        assert talk(start, server, client, "service", kind) == said, (server, client)


def test_classic(start: Start) -> None:
    said = talk(start, "original", "original", "classic")
    assert len(said) > 5
    for server, client in PAIRS:
        assert talk(start, server, client, "classic") == said, (server, client)


def test_a_facade_program_ends(start: Start, tmp_path: Path) -> None:
    """One that forgets to close its connections ends all the same."""
    script = tmp_path / "forgets.py"
    script.write_text("import rpyc\nconn = rpyc.classic.connect_thread()\nprint(conn.eval('1 + 1'))\n")
    running = start("facade", script)
    try:
        out, err = running.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        running.kill()
        raise
    assert (out, err) == ("2\n", "")
