from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from anycore.console.layout import HEADERS, page, table
from anycore.console.status import StatusPage
from anycore.conversations.exchange import Exchange
from anycore.kernel.call import Call, Identity, Mode, Peer
from anycore.kernel.kernel import Kernel
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.policy import AccessPolicy, Decision
from anycore.kernel.registry import verify
from anycore.services.system import System
from anycore.wire.http1 import Request

HOSTILE = "</pre><script>alert('x')</script>&<img src=x onerror=\"alert(1)\">"


class Room(Plugin):
    @exposed(aliases=("heat",))
    def celsius(self, at: int = 0) -> float:
        """Return the temperature."""
        return 20.0 / at

    @exposed
    def hostile(self, text: str = HOSTILE) -> str:
        return text

    @exposed
    def mute(self) -> None: ...


Room.hostile.__doc__ = HOSTILE


class Rules(Plugin, AccessPolicy):
    def decide(self, identity: Identity, peer: Peer, method: str) -> Decision:
        return Decision(allowed=peer.local and method != "room.mute", reason="test")


class Outline(HTMLParser):
    """What a browser would see: tags, and text by the tag around it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def kernel() -> Kernel:
    kernel = Kernel()
    kernel.registry.commit([verify(System(kernel, asyncio.run), "anycore"), verify(Room(), "test")])
    return kernel


def get(kernel: Kernel, peer: Peer | None = None, figures: Any = list) -> Exchange:
    request = Request("GET", "/", "/", "", "1.1", {"host": "localhost"}, b"", True)
    exchange = Exchange(request, peer or Peer())
    (job,) = StatusPage(kernel, figures).open(exchange)
    assert job.mode is Mode.BLOCKING
    job.run()
    assert job.settle() == ()  # type: ignore[attr-defined]
    return exchange


def test_the_page_shows_what_the_server_is_and_what_can_be_called(kernel: Kernel) -> None:
    exchange = get(kernel, figures=lambda: [("core", "asyncio")])
    outline = Outline(exchange.body.decode())
    text = " ".join(outline.text)

    assert exchange.status == 200
    assert ("Content-Type", "text/html; charset=utf-8") in exchange.headers
    for said in ("operating system", "uptime", "room, system", "core", "asyncio", "Return the temperature.",
                 "room.celsius(at: int = 0) -> float", "also: heat", "no documentation"):  # fmt: skip
        assert said in text
    assert {"room.celsius", "room.hostile", "system.listMethods"} <= set(outline.ids)
    assert {link.removeprefix("#") for link in outline.links} == set(outline.ids)


def test_what_comes_with_the_server_is_last(kernel: Kernel) -> None:
    class Zoo(Plugin):
        @exposed
        def feed(self) -> None: ...

    kernel.registry.commit([verify(Zoo(), "zoo.py")])
    ids = Outline(get(kernel).body.decode()).ids
    assert ids[:4] == ["room.celsius", "room.hostile", "room.mute", "zoo.feed"]
    assert ids[4].startswith("system.")


def test_hostile_text_stays_text(kernel: Kernel) -> None:
    exchange = get(kernel, figures=lambda: [(HOSTILE, HOSTILE)])
    outline = Outline(exchange.body.decode())

    assert not {"script", "img"} & set(outline.tags)
    assert "onerror" not in outline.names
    assert sum(HOSTILE in text for text in outline.text) >= 3  # the docstring, the row's name and its value


def test_the_frame_escapes_too() -> None:
    outline = Outline(page(HOSTILE, HOSTILE, table([(HOSTILE, HOSTILE)])))

    assert not {"script", "img"} & set(outline.tags)
    assert outline.text.count(HOSTILE) == 5


def test_the_policy_of_content_allows_the_one_style_sheet_only(kernel: Kernel) -> None:
    exchange = get(kernel)
    headers = dict(exchange.headers)
    (style,) = re.findall("<style>(.*?)</style>", exchange.body.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert set(HEADERS) <= set(exchange.headers)
    assert headers["Content-Security-Policy"].split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert " style=" not in exchange.body.decode()


def test_figures_of_the_methods_are_shown(kernel: Kernel) -> None:
    for at in (1, 2, 0):
        kernel.handle(Call("room.celsius", [at]))
    body = get(kernel).body.decode()
    (row,) = re.findall('<tr><td><a href="#room.celsius">.*?</tr>', body)
    (unused,) = re.findall('<tr><td><a href="#room.mute">.*?</tr>', body)

    assert re.findall('<td class="number">(.*?)</td>', row)[:2] == ["3", "1"]
    assert re.findall(r"[\d.]+ (µs|ms)", row)
    assert re.findall('<td class="number">(.*?)</td>', unused) == ["0", "0", "", "", ""]


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [(0, "0 µs"), (1_500, "1.5 µs"), (999_400, "999 µs"), (999_600, "1 ms"), (12_345_678, "12.3 ms"), (999_600_000, "1 s"),
     (1_234_000_000, "1.23 s"), (1_234_567_000_000, "1235 s")],
)  # fmt: skip
def test_times_are_shown_in_the_unit_that_suits_them(kernel: Kernel, nanoseconds: int, shown: str) -> None:
    statistics = kernel.registry.methods["room.mute"].statistics
    statistics.begin()
    statistics.end(nanoseconds, failed=False)
    (row,) = re.findall('<tr><td><a href="#room.mute">.*?</tr>', get(kernel).body.decode())

    assert re.findall('<td class="number">(.*?)</td>', row)[-1] == shown


def test_a_caller_is_shown_what_it_may_call(kernel: Kernel) -> None:
    kernel.registry.commit([verify(Rules(), "test")])
    body = get(kernel).body.decode()

    assert "room.celsius" in body
    assert "room.mute" not in body


def test_who_may_not_ask_gets_403_and_learns_nothing(kernel: Kernel) -> None:
    exchange = get(kernel, Peer("tcp", "192.0.2.1", 7, local=False))

    assert exchange.status == 403
    assert ("Content-Type", "text/plain; charset=utf-8") in exchange.headers
    assert b"may not call 'system.properties'" in exchange.body
    assert b"room" not in exchange.body


def test_a_server_without_the_system_plugin_has_no_page() -> None:
    assert get(Kernel()).status == 500
