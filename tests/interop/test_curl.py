"""curl: what HTTP/1.1 and 1.0 ask of a server, apart from the wires."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

XML = b"<?xml version='1.0'?><methodCall><methodName>interop.%s</methodName><params>%s</params></methodCall>"
ADD_XML = XML % (b"add", b"<param><value><int>2</int></value></param><param><value><i4>-3</i4></value></param>")
ADD_JSON = b'{"jsonrpc": "2.0", "id": 1, "method": "interop.add", "params": [2, -3]}'
XML_TYPE = ["-H", "Content-Type: text/xml"]
JSON_TYPE = ["-H", "Content-Type: application/json"]
SECONDS = "20"


class Answer(NamedTuple):
    """What curl got: the last response, and what `--write-out` tells."""

    status: int
    headers: dict[str, str]
    body: bytes
    told: dict[str, Any]
    interim: int

    @property
    def value(self) -> Any:
        """The result of the JSON-RPC answer."""
        return json.loads(self.body)["result"]


@pytest.fixture
def curl(run: Callable[..., subprocess.CompletedProcess[bytes]], server: str, tmp_path: Path) -> Callable[..., Answer]:
    def curl(path: str, *options: str, data: bytes | None = None) -> Answer:
        body = tmp_path / "body"
        body.unlink(missing_ok=True)
        command = [
            "curl",
            "--disable",
            "-sS",
            "--max-time",
            SECONDS,
            "-o",
            "body",
            "-D",
            "head",
            "-w",
            "%{json}\\n",
            *options,
        ]
        if data is not None:
            (tmp_path / "data").write_bytes(data)
            command += ["--data-binary", "@data"]
        result = run([*command, server + path], cwd=tmp_path)
        assert result.returncode == 0, result.stderr.decode()
        *before, last = (tmp_path / "head").read_bytes().decode("latin-1").rstrip("\r\n").split("\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in last.split("\r\n")[1:])
        found = body.read_bytes() if body.exists() else b""
        interim = sum(head.startswith("HTTP/1.1 100 ") for head in before)
        told = json.loads(result.stdout.splitlines()[-1])
        return Answer(told["http_code"], {name.lower(): value for name, value in headers.items()}, found, told, interim)

    return curl


@pytest.mark.parametrize("path", ["/", "/RPC2", "/clarens/"])
def test_post_of_either_wire(curl: Callable[..., Answer], path: str) -> None:
    xml = curl(path, *XML_TYPE, data=ADD_XML)
    assert (xml.status, xml.headers["content-type"]) == (200, "text/xml")
    assert b"<value><int>-1</int></value>" in xml.body
    found = curl(path, *JSON_TYPE, data=ADD_JSON)
    assert (found.status, found.headers["content-type"]) == (200, "application/json")
    assert json.loads(found.body) == {"jsonrpc": "2.0", "id": 1, "result": -1}


def test_post_of_json_to_its_own_path(curl: Callable[..., Answer]) -> None:
    assert curl("/jsonrpc", *JSON_TYPE, data=ADD_JSON).value == -1


def test_the_media_type_may_carry_parameters(curl: Callable[..., Answer]) -> None:
    latin = b"<methodCall><methodName>interop.echo</methodName><params><param><value>\xe9</value></param></params></methodCall>"
    answer = curl("/RPC2", "-H", "Content-Type: Text/XML; charset=ISO-8859-1", data=latin)
    assert "<value><string>é</string></value>" in answer.body.decode()


def test_exact_integers_of_any_size(curl: Callable[..., Answer]) -> None:
    request = b'{"jsonrpc": "2.0", "id": 12345678901234567890, "method": "interop.echo", "params": [%d]}' % (10**40)
    answer = curl("/jsonrpc", *JSON_TYPE, data=request)
    assert json.loads(answer.body) == {"jsonrpc": "2.0", "id": 12345678901234567890, "result": 10**40}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"[]", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 1}', -32600),
    ],
)
def test_broken_json_is_an_error_of_the_wire(curl: Callable[..., Answer], body: bytes, code: int) -> None:
    answer = curl("/jsonrpc", *JSON_TYPE, data=body)
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (200, code)


@pytest.mark.parametrize(
    "body", [b"", b"<methodCall>", b"<html></html>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><methodCall/>"]
)
def test_broken_xml_is_a_fault(curl: Callable[..., Answer], body: bytes) -> None:
    answer = curl("/RPC2", *XML_TYPE, data=body)
    assert answer.status == 200
    assert b"<fault>" in answer.body


def test_a_batch_of_notifications_is_answered_with_204(curl: Callable[..., Answer]) -> None:
    answer = curl("/jsonrpc", *JSON_TYPE, data=b'[{"jsonrpc": "2.0", "method": "interop.add", "params": [1, 2]}]')
    assert (answer.status, answer.body) == (204, b"")


def test_get_shows_the_status_page(curl: Callable[..., Answer]) -> None:
    answer = curl("/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "interop.add(a: int, b: int) -&gt; int" in answer.body.decode()
    assert "Größen: ganze Zahlen." in answer.body.decode()


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_get_of_health(curl: Callable[..., Answer], path: str) -> None:
    assert (curl(path).status, curl(path).body) == (200, b"ok\n")


def test_head_has_the_headers_of_get_and_no_body(curl: Callable[..., Answer]) -> None:
    got, asked = curl("/livez"), curl("/livez", "--head")
    assert asked.status == 200
    assert asked.told["size_download"] == 0
    assert {**asked.headers, "date": ""} == {**got.headers, "date": ""}


@pytest.mark.parametrize(("path", "allowed"), [("/", "GET, HEAD, POST, OPTIONS"), ("/RPC2", "POST, OPTIONS"), ("/livez", "GET, HEAD, OPTIONS")])  # fmt: skip
def test_options(curl: Callable[..., Answer], path: str, allowed: str) -> None:
    answer = curl(path, "-X", "OPTIONS")
    assert (answer.status, answer.headers["allow"]) == (204, allowed)


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("/nowhere", [], 404),
        ("/nowhere", [*XML_TYPE, "-d", "x"], 404),
        ("/RPC2", [], 405),
        ("/", ["-X", "DELETE"], 405),
        ("/livez", [*JSON_TYPE, "-d", "{}"], 405),
        ("/RPC2", ["-d", "a=b"], 415),
        ("/jsonrpc", [*XML_TYPE, "-d", "x"], 415),
        ("/RPC2", [*XML_TYPE, "-H", "Content-Encoding: br", "-d", "x"], 415),
        ("/", ["-H", "Host: rebound.example"], 421),
        ("/" + 40_000 * "x", [], 414),
        ("/", ["-H", "X: " + 40_000 * "x"], 431),
        ("/", ["-X", "BREW\x01"], 400),
    ],
)
def test_what_is_refused(curl: Callable[..., Answer], path: str, options: list[str], status: int) -> None:
    answer = curl(path, *options)
    assert answer.status == status
    assert answer.body.endswith(b"\n")
    assert "text/plain" in answer.headers["content-type"]
    if status == 405:
        assert "OPTIONS" in answer.headers["allow"]


def test_a_body_beyond_the_limit_is_refused_before_it_is_sent(curl: Callable[..., Answer]) -> None:
    answer = curl(
        "/RPC2", *XML_TYPE, "-H", "Expect: 100-continue", "--expect100-timeout", SECONDS, data=bytes(17 * 2**20)
    )
    assert (answer.status, answer.interim, answer.told["size_upload"]) == (413, 0, 0)


def test_a_small_body_that_inflates_beyond_the_limit_is_refused(curl: Callable[..., Answer]) -> None:
    answer = curl("/RPC2", *XML_TYPE, "-H", "Content-Encoding: gzip", data=gzip.compress(bytes(17 * 2**20)))
    assert answer.status == 413


def test_a_client_that_waits_is_told_to_continue(curl: Callable[..., Answer]) -> None:
    text = b"x" * 3_000_000
    body = XML % (b"echo", b"<param><value>" + text + b"</value></param>")
    answer = curl("/RPC2", *XML_TYPE, "-H", "Expect: 100-continue", "--expect100-timeout", SECONDS, data=body)
    assert (answer.status, answer.interim) == (200, 1)
    assert text in answer.body


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_chunked_upload(curl: Callable[..., Answer], size: int) -> None:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "interop.echo", "params": ["%s"]}' % (b"x" * size)
    answer = curl("/jsonrpc", *JSON_TYPE, "-H", "Transfer-Encoding: chunked", "-H", "Expect:", data=body)
    assert answer.value == "x" * size


def test_compressed_responses(curl: Callable[..., Answer]) -> None:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "interop.text", "params": [1000000]}'
    plain, packed = curl("/jsonrpc", *JSON_TYPE, data=body), curl("/jsonrpc", *JSON_TYPE, "--compressed", data=body)
    assert plain.value == packed.value == "0123456789abcdef" * 62_500
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.told["size_download"] < 100_000


@pytest.mark.parametrize("coding", ["deflate", "gzip;q=0, deflate"])
def test_the_coding_that_is_asked_for(curl: Callable[..., Answer], coding: str) -> None:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "interop.text", "params": [10000]}'
    answer = curl("/jsonrpc", *JSON_TYPE, "--compressed", "-H", f"Accept-Encoding: {coding}", data=body)
    assert answer.headers["content-encoding"] == "deflate"
    assert len(answer.value) == 10_000


def test_http_1_0(curl: Callable[..., Answer]) -> None:
    answer = curl("/RPC2", "-0", *XML_TYPE, data=ADD_XML)
    assert (answer.status, answer.headers.get("connection")) == (200, "close")
    assert b"<int>-1</int>" in answer.body
    kept = curl("/RPC2", "-0", "-H", "Connection: keep-alive", *XML_TYPE, data=ADD_XML)
    assert (kept.status, kept.headers["connection"].lower()) == (200, "keep-alive")


def test_the_connection_stays(curl: Callable[..., Answer], server: str) -> None:
    answer = curl("/RPC2", *XML_TYPE, f"{server}/RPC2", "-o", "second", data=ADD_XML)
    assert (answer.status, answer.told["num_connects"]) == (200, 0)


def test_the_connection_ends_where_the_client_says_so(curl: Callable[..., Answer], server: str) -> None:
    answer = curl("/RPC2", *XML_TYPE, "-H", "Connection: close", f"{server}/RPC2", "-o", "second", data=ADD_XML)
    assert (answer.headers["connection"], answer.told["num_connects"]) == ("close", 1)


def test_every_response_is_dated(curl: Callable[..., Answer]) -> None:
    for answer in (curl("/livez"), curl("/nowhere"), curl("/RPC2", *XML_TYPE, data=ADD_XML)):
        assert answer.headers["date"].endswith(" GMT")
