"""The settings of RPyC's listeners about peers that are silent."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from anycore.server.application import Server
from anycore.settings.sources import load_settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("core", ["asyncio", "threaded"])
def test_silent_peers_of_rpyc_listeners(core: str, tmp_path: Path) -> None:
    file = tmp_path / "anycore.toml"
    file.write_text(
        f"""
        [server]
        core = "{core}"
        [rpyc]
        idle_time = 0.2
        keepalive = 7
        [[listen]]
        url = "rpyc://127.0.0.1:0"
        [[listen]]
        url = "http://127.0.0.1:0"
        """
    )
    ready = threading.Event()
    server = Server(load_settings(file=str(file), environment={}), lambda _: ready.set())
    thread = threading.Thread(target=server.run, kwargs={"signals": False})
    thread.start()
    try:
        assert ready.wait(60)
        watched = [one.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for one in server.core.listeners]
        assert list(map(bool, watched)) == [True, False]
        address = ("127.0.0.1", int(server.urls[0].rpartition(":")[2]))
        with socket.create_connection(address, timeout=60) as silent, contextlib.suppress(ConnectionError):
            assert silent.recv(1) == b""
        assert server.incidents.counts() == {"rpyc": 1}
    finally:
        server.stop()
        thread.join(60)
