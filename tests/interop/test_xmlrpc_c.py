"""The programs of the C library xmlrpc-c: `xmlrpc` and `xml-rpc-api2txt`.

The library refuses characters beyond the Basic Multilingual Plane, and its program cannot print dates.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def call(
    run: Callable[..., subprocess.CompletedProcess[bytes]], server: str
) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    return lambda method, *params: run(["xmlrpc", f"{server}/RPC2", method, *params])


@pytest.fixture
def ask(call: Callable[..., subprocess.CompletedProcess[bytes]]) -> Callable[..., str]:
    def ask(method: str, *params: str) -> str:
        result = call(method, *params)
        assert result.returncode == 0, result.stderr.decode()
        return result.stdout.decode().removeprefix("Result:\n\n").rstrip("\n")

    return ask


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("negative", "Integer: -5"),
        ("int32 min", "Integer: -2147483648"),
        ("int64 min", "64-bit integer: -9223372036854775808"),
        ("int64 max", "64-bit integer: 9223372036854775807"),
        ("true", "Boolean: TRUE"),
        ("false", "Boolean: FALSE"),
        ("negative double", "Floating Point: -0.125000"),
        ("large double", "Floating Point: 150000000000000000000.000000"),
        ("text", "String: 'plain'"),
        ("empty text", "String: ''"),
        ("markup", "String: '<a href=\"x\">&amp;</a> ]]> 'q''"),
        ("unicode", "String: '" + "".join(
            char if char.isascii() else "".join(f"\\x{byte:02x}" for byte in char.encode()) for char in "Zürich Ελλάδα 漢字"
        ) + "'"),
        ("bytes", f"Bit string: {bytes(range(256)).hex()}"),
        ("empty bytes", "Bit string: "),
        ("nil", "Nil"),
        ("empty array", "Array of 0 items:"),
        ("empty struct", "Struct of 0 members:"),
        ("nil within", ("Array of 2 items:\n  Index  0 Nil\n  Index  1 Struct of 1 members:\n"
                       "             Key:   String: 'a'\n             Value: Nil")),
        ("array", ("Array of 4 items:\n  Index  0 Integer: 1\n  Index  1 String: 'two'\n  Index  2 Array of 2 items:\n"
                  "             Index  0 Floating Point: 3.500000\n             Index  1 Array of 0 items:\n"
                  "  Index  3 Array of 1 items:\n             Index  0 Boolean: TRUE")),
    ],
)  # fmt: skip
def test_values_are_received(ask: Callable[..., str], name: str, printed: str) -> None:
    assert ask("interop.give", f"s/{name}") == printed


def test_a_struct_is_received(ask: Callable[..., str]) -> None:
    assert ask("interop.give", "s/struct").startswith(
        "Struct of 5 members:\n  Key:   String: 'name'\n  Value: String: 'Ada'\n  Key:   String: 'born'\n"
        "  Value: Struct of 2 members:\n           Key:   String: 'year'\n           Value: Integer: 1815\n"
    )


@pytest.mark.parametrize(
    ("param", "arrived"),
    [
        ("i/-5", "-5"),
        ("I/-9223372036854775808", "-9223372036854775808"),
        ("b/true", "True"),
        ("b/f", "False"),
        ("d/-0.125", "-0.125"),
        ("s/<plain & simple>", "'<plain & simple>'"),
        ("s/", "''"),
        ("n/", "None"),
    ],
)
def test_values_are_sent(ask: Callable[..., str], param: str, arrived: str) -> None:
    assert ask("interop.describe", param) == f"String: '{arrived}'"


def test_values_come_back(ask: Callable[..., str]) -> None:
    assert ask("interop.echo", "h/0001ff") == "Bit string: 0001ff"
    assert ask("interop.echo", "d/1e-5") == "Floating Point: 0.000010"


def test_the_short_form_of_the_url(run: Callable[..., subprocess.CompletedProcess[bytes]], server: str) -> None:
    result = run(["xmlrpc", server.removeprefix("http://"), "interop.add_async", "i/3", "i/-5"])
    assert result.stdout == b"Result:\n\nInteger: -2\n"


@pytest.mark.parametrize(
    ("method", "params", "code", "message"),
    [
        ("interop.fail", ("i/42", "s/nö <&>"), 42, "nö <&>"),
        ("interop.crash", (), -32000, "interop.crash: ValueError: the café is closed"),
        ("interop.no_such_method", (), -32601, "there is no method 'interop.no_such_method'"),
    ],
)
def test_faults(
    call: Callable[..., subprocess.CompletedProcess[bytes]],
    method: str,
    params: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    result = call(method, *params)
    assert result.returncode == 1
    assert message in result.stderr.decode()
    assert f"(XML-RPC fault code {code})" in result.stderr.decode()


def test_a_missing_path_is_a_404(run: Callable[..., subprocess.CompletedProcess[bytes]], server: str) -> None:
    assert b"HTTP response code is 404" in run(["xmlrpc", f"{server}/nowhere", "interop.add", "i/1", "i/2"]).stderr


def test_the_description_of_the_server(run: Callable[..., subprocess.CompletedProcess[bytes]], server: str) -> None:
    result = run(["xml-rpc-api2txt", f"{server}/RPC2"])
    text = result.stdout.decode(errors="replace")
    assert result.returncode == 0, result.stderr.decode()
    assert "\nint interop.add_async (int, int)\n\n  Return the sum, on the event loop.\n" in text
    assert "\narray interop.shift (dateTime.iso8601, base64, array, struct)\n" in text
    assert "\narray system.listMethods ()\n" in text
