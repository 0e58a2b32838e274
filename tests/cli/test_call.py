"""`anycore call`: arguments, results, faults and failures."""

from __future__ import annotations

import base64
import datetime as dt
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st

from anycore.cli.exits import Exit
from anycore.cli.output import argument, as_json

Run = Callable[..., Result]
Served = Any  # as the fixture has it; a conftest cannot be imported

ARGUMENTS = {
    "5": 5,
    "-5": -5,
    "2.5": 2.5,
    '"5"': "5",
    "five": "five",
    "": "",
    "true": True,
    "True": "True",
    "null": None,
    "[1, 2]": [1, 2],
    '{"a": 1}': {"a": 1},
    "{a: 1}": "{a: 1}",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "123456789012345678901234567890": 123456789012345678901234567890,
    "1" * 5000: "1" * 5000,
    "[" * 100_000: "[" * 100_000,
    "grüße": "grüße",
}


@pytest.mark.parametrize("text", list(ARGUMENTS), ids=lambda text: text[:20])
def test_an_argument_is_json_or_else_text(text: str) -> None:
    found = argument(text)
    assert found == ARGUMENTS[text]
    assert type(found) is type(ARGUMENTS[text])


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_every_text_is_an_argument(text: str) -> None:
    assert type(argument(text)) in {str, int, float, bool, type(None), list, dict}


def test_a_result_is_json_with_bytes_in_base64_and_dates_in_iso() -> None:
    value = {"a": b"\0\xff", "b": dt.datetime(2024, 1, 2, 3, 4, 5), "c": dt.date(2024, 1, 2), "d": {1}}  # noqa: DTZ001
    assert json.loads(as_json(value)) == {
        "a": base64.b64encode(b"\0\xff").decode(),
        "b": "2024-01-02T03:04:05",
        "c": "2024-01-02",
        "d": "{1}",
    }


@pytest.fixture(params=["http", "jsonrpc+http"])
def url(request: pytest.FixtureRequest, served: Served) -> str:
    return served.url.replace("http", str(request.param), 1)


def test_a_call(run: Run, url: str) -> None:
    result = run("call", url, "sample.add", "2", "3")
    assert (result.stdout, result.stderr, result.exit_code) == ("5\n", "", Exit.OK)


def test_a_negative_number_is_an_argument_wherever_it_stands(run: Run, url: str) -> None:
    assert run("call", url, "sample.add", "-2", "--timeout", "5", "-3").stdout == "-5\n"
    assert run("call", url, "sample.echo", "-.5").stdout == '"-.5"\n'
    assert run("call", url, "sample.echo", "--", "--timeout").stdout == '"--timeout"\n'


@pytest.mark.parametrize("value", [[], {}, {"a": [1, {"b": None}]}, "text", "grüße 🙂", "5", True, 1.5, None])
def test_what_is_sent_comes_back(run: Run, url: str, value: Any) -> None:
    result = run("call", url, "sample.echo", json.dumps(value))
    assert json.loads(result.stdout) == value


def test_raw_prints_strings_and_bytes_as_they_are(run: Run, served: Served) -> None:
    assert run("call", served.url, "sample.echo", "five").stdout == '"five"\n'
    assert run("call", served.url, "sample.echo", "five", "--raw").stdout == "five\n"
    assert run("call", served.url, "sample.echo", "[1]", "--raw").stdout == "[\n  1\n]\n"
    assert run("call", served.url, "sample.data", "--raw").stdout_bytes == b"\0\xff"
    assert json.loads(run("call", served.url, "sample.times").stdout) == {"when": "2024-01-02T03:04:05", "data": "AP8="}


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(run: Run, url: str, served: Served) -> None:
    for one in (url, served.rpyc_url):
        result = run("call", one, "sample.ad", "2")
        assert result.exit_code == Exit.FAULT
        assert result.stderr.endswith("(fault -32601); did you mean sample.add?\n")
        result = run("call", one, "nowhere.at_all")
        assert result.exit_code == Exit.FAULT
        assert "did you mean" not in result.stderr


def test_arguments_by_name_go_over_json_rpc(run: Run, served: Served) -> None:
    url = served.url.replace("http", "jsonrpc+http")
    assert run("call", url, "sample.add", "--kw", "a=2", "--kw", "b=40").stdout == "42\n"
    assert run("call", url, "sample.echo", "--kw", "value=a=b").stdout == '"a=b"\n'
    result = run("call", url, "sample.echo", "--kw", "value")
    assert result.exit_code == Exit.USAGE
    assert "expected NAME=VALUE, got 'value'; write e.g. --kw celsius=21.5" in result.stderr
    result = run("call", served.url, "sample.add", "--kw", "a=2")
    assert result.exit_code == Exit.USAGE
    assert "XML-RPC has no named arguments (a)" in result.stderr


def test_a_fault_goes_to_standard_error_without_what_could_steer_the_terminal(run: Run, served: Served) -> None:
    result = run("call", served.url.replace("http", "jsonrpc+http"), "sample.fail")
    assert (result.exit_code, result.stdout) == (Exit.FAULT, "")
    assert result.stderr.startswith("Error: nothing \\x1b[31mworks (fault 7)\n")
    assert '"detail"' in result.stderr
    result = run("call", served.url, "sample.nothing")
    assert (result.exit_code, result.stdout) == (Exit.FAULT, "")
    assert "there is no method 'sample.nothing'" in result.stderr


@pytest.mark.parametrize(
    "url", ["127.0.0.1:6789", "localhost:6789", "ftp://localhost/", "rpy://localhost", "http://", ""]
)
def test_a_url_that_makes_no_sense_is_refused_with_the_schemes(run: Run, url: str) -> None:
    result = run("call", url, "x")
    assert result.exit_code == Exit.USAGE
    assert "jsonrpc+http://host:port/path (JSON-RPC)" in result.stderr


@pytest.mark.parametrize(
    "url", ["rpyc://", "rpyc://localhost/path", "rpyc://localhost:x", "unix+rpyc://here", "rpycs://a:b@localhost"]
)
def test_a_url_of_rpyc_that_makes_no_sense_is_refused(run: Run, url: str) -> None:
    result = run("call", url, "x")
    assert result.exit_code == Exit.USAGE
    assert "rpyc" in result.stderr
    assert "a:b" not in result.stderr


def test_calls_over_rpyc(run: Run, served: Served) -> None:
    url = served.rpyc_url
    assert run("call", url, "sample.add", "2", "3").stdout == "5\n"
    assert run("call", f"{url}/", "sample.add", "--kw", "a=2", "--kw", "b=-5").stdout == "-3\n"
    value = '{"a": [1, 2.5, null, {"b": "ü"}], "c": []}'
    assert json.loads(run("call", url, "sample.echo", value).stdout) == json.loads(value)
    assert json.loads(run("call", url, "sample.data").stdout) == "AP8="
    assert run("call", url, "sample.data", "--raw").stdout_bytes == b"\x00\xff"
    assert "2024" in run("call", url, "sample.times").stdout


def test_what_goes_wrong_over_rpyc_is_told_as_over_other_wires(run: Run, served: Served) -> None:
    result = run("call", served.rpyc_url, "sample.fail")
    assert (result.exit_code, result.stdout) == (Exit.FAULT, "")
    assert result.stderr.startswith("Error: nothing \\x1b[31mworks (fault 7)\n")
    assert run("call", served.rpyc_url, "sample.nothing").exit_code == Exit.FAULT
    other = run("call", served.url, "sample.add", "x").stderr
    assert run("call", served.rpyc_url, "sample.add", "x").stderr == other
    result = run("call", served.rpyc_url, "sample")
    assert result.exit_code == Exit.FAULT
    assert "sample: there is something of that name, but no method; `anycore methods URL` lists" in result.stderr
    result = run("call", served.url.replace("http", "rpyc"), "sample.add")
    assert result.exit_code == Exit.TRANSPORT
    assert "check that the server speaks RPyC there" in result.stderr


def test_an_rpyc_server_that_is_not_there_or_silent(run: Run) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        result = run("call", f"rpyc://127.0.0.1:{free.getsockname()[1]}", "x")
    assert result.exit_code == Exit.TRANSPORT
    assert "nothing listens there" in result.stderr
    assert "nothing listens there" in run("call", "unix+rpyc:///nowhere/at.all", "x").stderr
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = run("call", f"rpyc://127.0.0.1:{silent.getsockname()[1]}", "x", "--timeout", "0.05")
    assert result.exit_code == Exit.TRANSPORT
    assert "no answer within 0.05 seconds" in result.stderr


def test_a_url_without_a_scheme_gets_one_suggested(run: Run) -> None:
    assert run("call", "localhost:6789", "x").stderr.endswith("; did you mean http://localhost:6789?\n")


def test_a_server_that_is_not_there(run: Run) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        result = run("call", f"http://127.0.0.1:{free.getsockname()[1]}", "x")
    assert result.exit_code == Exit.TRANSPORT
    assert "nothing listens there" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_server_that_does_not_answer_in_time(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = run("call", url, "x", "--timeout", "0.05")
        assert result.exit_code == Exit.TRANSPORT
        assert "no answer within 0.05 seconds" in result.stderr
        assert run("call", url, "x", ANYCORE_CLIENT_TIMEOUT="0.05").exit_code == Exit.TRANSPORT
        Path("anycore.toml").write_text("[client]\ntimeout = 0.05\n[server]\nanything = 1\n")
        assert run("call", url, "x").exit_code == Exit.TRANSPORT


def test_a_wrong_setting_is_told_as_such(run: Run) -> None:
    result = run("call", "http://127.0.0.1:1", "x", "--timeout", "-5")
    assert result.exit_code == Exit.CONFIGURATION
    assert (
        "option --timeout: expected a number of seconds from 0 to 1000000, got the number -5.0; write e.g."
        in result.stderr
    )
    Path("ca.pem").write_text("not a certificate")
    result = run("call", "https://127.0.0.1:1", "x", "--ca", "ca.pem")
    assert result.exit_code == Exit.CONFIGURATION
    assert "the files of [client] cannot be used: ca.pem holds no certificate in PEM form" in result.stderr
