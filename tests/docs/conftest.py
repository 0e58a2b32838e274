"""Runs the samples of a page: Python as Python, console blocks as a reader would type them, against servers that really run.

What a code block is decides how it is treated:

* one with a file's name as its caption (or, in the README, as a comment in its first line) is written to that file;
* `python` is executed, doctests as doctests;
* `console`: each line after `$` is run by a shell, and its output compared with the lines that follow; `...` stands for
  anything. `anycore serve` is started and stays until the page ends or another one takes its place;
* `text` with the caption "log" must appear in the log of the running server; other `text` is not touched.

Ports that pages name are replaced by free ones.
"""

from __future__ import annotations

import contextlib
import doctest
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from sybil import Sybil
from sybil.example import SybilFailure
from sybil.parsers.myst import CodeBlockParser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sybil import Document, Example, Region

ROOT: Final = Path(__file__).parents[2]

_PORTS: Final = ("6789", "6790")
_READY: Final = re.compile(r"Ctrl-C stops it\.|Uvicorn running on .*")
_SECONDS: Final = 20
_NOT_RUN: Final = ("make test", "make docs", "make bench", "git ", "pip ")
_OTHERS: Final = ("uvicorn ",)
_SERVES: Final = ("anycore serve", "make serve", *_OTHERS)
_SHOWN: Final = ("text", "none", "sh", "ini")
_FILE: Final = re.compile(r"[\w./-]+\.\w+\Z")
_FILE_COMMENT: Final = re.compile(r"# ([\w./-]+\.\w+)\n")
_PEERS: Final = ("perl", "node", "openssl")
_OPTIONS: Final = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Server:
    """`anycore serve` as a page starts it, and what it prints."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._printed = ""
        self._read = 0
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()

    def _follow(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self._changed:
                    self._printed += line
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait(self, found: Callable[[str], int]) -> str:
        """Return what was printed since the last time, as soon as it is enough, or whatever there is at the end.

        Args:
            found: Returns how many characters are enough, or 0.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended or found(self._printed[self._read :]), _SECONDS)
            fresh = self._printed[self._read :]
            enough = found(fresh) or len(fresh)
            self._read += enough
            return fresh[:enough]

    def banner(self) -> str:
        """Return what the server prints until it is ready, or fails to start."""
        return self.wait(lambda text: next((found.end() for found in _READY.finditer(text)), 0))

    def stop(self) -> None:
        """End it as an operator would."""
        self.process.terminate()
        try:
            self.process.wait(_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()


class Desk:
    """Where the samples of one page are tried: a folder, ports, and the servers that were started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: Server | None = None
        self.wanted: list[str] = []
        self._ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        bin_folder = str(Path(sys.executable).parent)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANYCORE_")}
        self._environment = {
            **kept,
            "PATH": f"{bin_folder}{os.pathsep}{kept.get('PATH', os.defpath)}",
            "ANYCORE_LOG_FORMAT": "pretty",
            "NO_COLOR": "1",
            "COLUMNS": "100",
            "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TZ": "UTC",
        }

    def real(self, text: str) -> str:
        """Put the ports of this run into text of a page."""
        return re.sub(rf"\b({'|'.join(self._ports)})\b", lambda found: self._ports[found[1]], text)

    def shown(self, text: str) -> str:
        """Put the ports of the page into text of this run."""
        for page, real in self._ports.items():
            text = re.sub(rf"\b{real}\b", page, text)
        return text.replace(str(self.folder), "/home/ada")

    def write(self, name: str, text: str) -> None:
        """Write a file of the page, whole, so that a server that watches never sees half of it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        draft.write_text(self.real(text), encoding="utf-8")
        draft.replace(path)

    def python(self, source: str, namespace: dict[str, Any], name: str, line: int) -> None:
        """Execute Python, from within the folder."""
        source = self.real(source)
        if source.lstrip().startswith(">>>"):
            said: list[str] = []
            test = doctest.DocTestParser().get_doctest(source, namespace, name, name, line)
            doctest.DocTestRunner(optionflags=_OPTIONS).run(test, out=said.append, clear_globs=False)
            namespace.update(test.globs)
            assert not said, "".join(said)
        else:
            exec(compile("\n" * line + source, name, "exec", dont_inherit=True), namespace)

    def console(self, block: str) -> None:
        """Run the commands of a block, and compare what they print."""
        for command, expected in _commands(block.replace(".venv/bin/anycore", "anycore")):
            if command.startswith(_NOT_RUN):
                continue
            program = next(word for word in command.split() if "=" not in word)
            if program in _PEERS and shutil.which(program) is None:
                self.wanted.append(program)
                continue
            text = self._serve(command) if command.startswith(_SERVES) else self._run(command)
            if "Can't locate RPC/XML" in text:
                self.wanted.append("RPC::XML of Perl")
                continue
            printed = self.shown(text)
            assert _matches(printed, expected), f"$ {command}\nprinted\n{printed}\ninstead of\n{expected}"

    def _run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", self.real(command)],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
        return done.stdout.decode()

    def _serve(self, command: str) -> str:
        command = self.real("anycore serve examples/plugins" if command == "make serve" else command)
        own = command.startswith(_OTHERS) or "--listen" in command or "ANYCORE_" in command or self._config(command)
        self.stop()
        listen = "" if own else f" --listen http://127.0.0.1:{self._ports['6789']}"
        self.server = Server(command + listen, self.folder, self._environment)
        return self.server.banner()

    def _config(self, command: str) -> bool:
        """Whether a configuration file says where to listen."""
        named = re.search(r" -c (\S+)", command)
        file = self.folder / (named[1] if named else "anycore.toml")
        return file.exists() and "[[listen]]" in file.read_text()

    def log(self, expected: str) -> None:
        """Wait for lines in the log of the server."""
        assert self.server is not None, "no server was started on this page"
        wanted = [_pattern(line.strip()) for line in expected.strip().splitlines()]
        pattern = re.compile(r"[^\n]*\n(?:[^\n]*\n)*?".join(wanted))

        def found(text: str) -> int:
            match = pattern.search(self.shown(text))
            return len(text) if match else 0

        printed = self.shown(self.server.wait(found))
        assert pattern.search(printed), f"the log says\n{printed}\ninstead of\n{expected}"

    def stop(self) -> None:
        """Stop the server, if one runs."""
        server, self.server = self.server, None
        if server is not None:
            server.stop()

    def end_daemons(self) -> None:
        """End servers that went into the background, which a page that went wrong leaves behind: whoever has locked a pid file."""
        for path in self.folder.rglob("*.pid"):
            with path.open("rb") as file, contextlib.suppress(ValueError, ProcessLookupError):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os.kill(int(file.read()), signal.SIGKILL)


def _commands(block: str) -> Iterator[tuple[str, str]]:
    """Take a console block apart into commands and what they print."""
    for part in re.split(r"(?m)^\$ ", block)[1:]:
        lines = part.splitlines(keepends=True)
        command = lines.pop(0)
        while lines and (command.endswith("\\\n") or lines[0].startswith("> ")):
            command += lines.pop(0).removeprefix("> ")
        yield command.strip(), "".join(lines)


def _pattern(text: str) -> str:
    return ".*?".join(re.escape(part) for part in text.split("..."))


def _matches(printed: str, expected: str) -> bool:
    normal = ["\n".join(line.rstrip() for line in text.strip().splitlines()) for text in (printed, expected)]
    return re.fullmatch(_pattern(normal[1]), normal[0], re.DOTALL) is not None


def _free_ports(count: int) -> list[str]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]) for one in sockets]


class Samples:
    """Parses the code blocks of a page for Sybil; each becomes an example that is tried at a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lexers = CodeBlockParser("python").lexers

    def __call__(self, document: Document) -> Iterable[Region]:
        """Return every code block of a page."""
        for region in self._lexers(document):
            if region.lexemes["arguments"].startswith("{"):
                continue  # a directive; those that hold code are found under their own language
            region.parsed = str(region.lexemes["source"])
            region.evaluator = self._try
            yield region

    def _try(self, example: Example) -> None:
        language = example.region.lexemes["arguments"]
        caption = example.region.lexemes.get("options", {}).get("caption", "")
        text = example.parsed
        named = _FILE_COMMENT.match(text)
        if _FILE.match(caption) or named:
            self._desk.write(caption if not named else named[1], text)
        elif language == "python":
            self._desk.python(text, example.namespace, example.path, example.line)
        elif language == "console":
            self._desk.console(text)
        elif caption == "log":
            self._desk.log(text)
        else:
            assert language in _SHOWN, f"a block in {language} is neither run nor written to a file; give it a caption"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A folder with the examples, in which this process is, too."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    made = Desk(tmp_path)
    yield made
    made.end_daemons()
    made.stop()
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def try_samples(desk: Desk) -> Callable[[Path], int]:
    """Return a function that tries all samples of a page and returns how many there were."""

    def try_all(page: Path) -> int:
        count = 0
        for example in Sybil([Samples(desk)], path=str(ROOT)).parse(page).examples():
            try:
                example.evaluate()
            except SybilFailure:
                raise
            except Exception as error:
                error.add_note(f"in the sample at {page}:{example.line}")
                raise
            count += 1
        if desk.wanted:
            reason = f"not all samples were run for want of {', '.join(sorted(set(desk.wanted)))}"
            if os.environ.get("ANYCORE_REQUIRE_PEERS") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        return count

    return try_all
