"""Records one unit of a workload between a real client and a real server, through a relay, for the raw ping-pong of the same frames."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import zlib
from contextlib import suppress

from anycore.wire import rpyc_constants as wire
from anycore.wire.rpyc import MessageCodec
from benchmarks.environment import ROOT, peers_python
from benchmarks.load import LoadError
from benchmarks.rpyc.script import HEAD, Script

QUIET_SECONDS = 0.2
"""Answers that nobody waits for have come by then."""
PATIENCE = 60


class Relay:
    """Passes bytes between clients and a server, and keeps them."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.sent = bytearray()
        self.answered = bytearray()
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> None:
        """Keep only what comes from now on."""
        self.sent.clear()
        self.answered.clear()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for connected in (client, server):
                    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for pair in ((client, server, self.sent), (server, client, self.answered)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    with suppress(OSError):
        while data := source.recv(262_144):
            kept += data
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def waits(frame: bytes) -> bool:
    """Whether a client waits for the answer to a request: not for those to the release of a proxy and to its goodbye."""
    size, compressed = HEAD.unpack_from(frame)
    payload = frame[HEAD.size : HEAD.size + size]
    message = MessageCodec(6, bind_threads=False).decode(zlib.decompress(payload) if compressed else payload)
    return message.kind != wire.REQUEST or message.args[0] not in (wire.DEL, wire.CLOSE)


def record(library: str, workload: str, port: int) -> Script:
    """Have a client do a workload with the server on a port; return the frames of one unit.

    Raises:
        LoadError: The client failed.
        ScriptError: What it said makes no script.
    """
    relay = Relay(port)
    python = sys.executable if library == "anycore" else peers_python()
    command = [python, "-m", "benchmarks.rpyc.client", library, workload, str(relay.port), "record"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        watch = threading.Timer(PATIENCE, client.kill)
        watch.start()
        try:
            for word, then in (("ready", relay.forget), ("done", lambda: None)):
                if client.stdout.readline().strip() != word:
                    raise LoadError(f"the client to be recorded, {' '.join(command)}, has ended")
                time.sleep(QUIET_SECONDS)
                then()
                if word == "ready":
                    client.stdin.write("\n")
                    client.stdin.flush()
            script = Script.of(workload, bytes(relay.sent), bytes(relay.answered), waits)
        finally:
            watch.cancel()
            client.kill()
            relay.close()
    return script
