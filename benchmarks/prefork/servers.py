"""Servers under test: `anycore serve --core prefork`, not pinned, as they are to use every processor."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

PLUGIN = Path(__file__).with_name("plugin.py")


class Prefork:
    """A server with some workers; a context manager."""

    def __init__(self, workers: int, inner: str) -> None:
        command = [
            sys.executable,
            "-m",
            "anycore",
            "serve",
            str(PLUGIN),
            "--core=prefork",
            "--listen=http://127.0.0.1:0",
        ]
        command += [f"--prefork-workers={workers}", f"--prefork-inner={inner}", "--log-level=error"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.url = ""

    def __enter__(self) -> Self:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            self.url = self.url or (found[0] if found else "")
            if "Ctrl-C" in line:
                return self
        sys.exit("the server did not start")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.terminate()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
