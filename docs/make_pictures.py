"""Makes the pictures of the documentation from a server that really runs: `python docs/make_pictures.py`.

`images/serve.svg` shows the banner and a call, `images/status.png` the status page, for which `chromium` must be installed.
"""

from __future__ import annotations

import html
import io
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Final

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from anycore.cli.banner import lines
from anycore.server.announcement import Announcement
from anycore.server.application import Server
from anycore.settings.sources import load_settings

ROOT: Final = Path(__file__).resolve().parent.parent
IMAGES: Final = ROOT / "docs" / "images"
PLUGINS: Final = "examples/plugins"
URL: Final = "http://127.0.0.1:6789"
WIDTH: Final = 108
THEME: Final = TerminalTheme(
    (24, 28, 33), (226, 230, 234),
    [(60, 66, 73), (240, 113, 103), (126, 200, 127), (226, 186, 98), (110, 170, 240), (195, 140, 230), (98, 196, 206), (226, 230, 234)],
    [(120, 128, 136), (240, 113, 103), (126, 200, 127), (226, 186, 98), (110, 170, 240), (195, 140, 230), (98, 196, 206), (255, 255, 255)],
)  # fmt: skip
# As rich's own, without a window around it and without a font from elsewhere.
FORMAT: Final = """\
<svg class="rich-terminal" viewBox="0 0 WIDTH HEIGHT" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
<rect fill="#181c21" width="WIDTH" height="HEIGHT" rx="8"/>
<g transform="translate(16, 12)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


@contextmanager
def serving(url: str = URL) -> Iterator[Announcement]:
    """Serve the example plugins in this process, as `make serve` does.

    Args:
        url: Where.
    """
    found: list[Announcement] = []
    ready = threading.Event()

    def announce(announcement: Announcement) -> None:
        found.append(announcement)
        ready.set()

    options = {"server.plugins": [PLUGINS], "server.store": "memory:", "listen.url": [url]}
    server = Server(load_settings(options=options, environment={}), announce)
    thread = threading.Thread(target=lambda: server.run(signals=False))
    thread.start()
    try:
        if not ready.wait(20):
            sys.exit("the server did not start")
        yield found[0]
    finally:
        server.stop()
        thread.join()


def call(*arguments: str) -> str:
    """Make a call with the command line and return what it prints."""
    command = [sys.executable, "-m", "anycore", "call", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    return (done.stdout + done.stderr).rstrip()


def draw(announcement: Announcement, path: Path) -> None:
    """Draw the banner and two calls."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")

    def show(text: Text) -> None:
        console.print(text, highlight=False, no_wrap=True, overflow="ellipsis", crop=True)

    show(Text.assemble(("$ ", "bright_black"), "make serve"))
    for line in lines(announcement):
        show(line)
    for words in ([URL, "thermostat.set", "21.5"], [URL, "thermostat.set", "warm"]):
        show(Text())
        show(Text.assemble(("$ ", "bright_black"), f"anycore call {' '.join(words)}"))
        show(Text(call(*words)))
    svg = console.export_svg(title="", theme=THEME, code_format=FORMAT, unique_id="serve")
    size = re.search(r'x="0" y="0" width="([0-9.]+)" height="([0-9.]+)"', svg)
    assert size is not None
    svg = svg.replace("WIDTH", f"{float(size[1]) + 40:g}").replace("HEIGHT", f"{float(size[2]) + 24:g}")
    path.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


def rows(svg: str) -> list[str]:
    """Return the lines of text in a picture that was drawn by `draw`."""
    found: dict[str, str] = {}
    for line, text in re.findall(r"<text[^>]* clip-path=\"url\(#serve-line-(\d+)\)\">(.*?)</text>", svg):
        found[line] = found.get(line, "") + html.unescape(text).replace("\xa0", " ")
    return [text.rstrip() for text in found.values()]


def photograph(path: Path) -> None:
    """Take a picture of the status page, after some calls."""
    for arguments in (["machine.disk", "/"], ["machine.load"], ["timer.sleep", "0.02"], ["thermostat.rooms"]):
        call(URL, *arguments)
    browser = shutil.which("chromium") or sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        options += ["--disable-component-update", "--disable-sync", f"--user-data-dir={profile}", "--hide-scrollbars"]
        options += ["--window-size=1100,900", f"--screenshot={path}", URL]
        subprocess.run([browser, *options], check=True, capture_output=True, timeout=60)  # noqa: S603 - our own


def main() -> None:
    """Make all pictures."""
    # What machine they are made on is nobody's business.
    machine = SimpleNamespace(system="Linux", node="server.example.org", release="6.1.0", machine="x86_64")
    platform.uname = lambda: machine  # type: ignore[assignment,return-value]
    IMAGES.mkdir(exist_ok=True)
    with chdir(ROOT), serving() as announcement:
        draw(announcement, IMAGES / "serve.svg")
        photograph(IMAGES / "status.png")


if __name__ == "__main__":
    main()
