"""Settings: their sources, their precedence, their checks, and what is said about those that are wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from anycore.conversations.site import Limits
from anycore.cores.base import CoreLimits
from anycore.settings.keys import SECTIONS, keys
from anycore.settings.problems import ConfigurationError
from anycore.settings.sources import load_settings
from anycore.settings.tables import ListenSettings, ServerSettings, Settings


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.pem").touch()


def write(text: str, name: str = "anycore.toml") -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return name


def load(text: str = "", *, environment: dict[str, str] | None = None, **options: Any) -> Settings:
    write(text)
    given = {name.replace("__", "."): value for name, value in options.items()}
    return load_settings(options=given, environment=environment or {})


def problems(text: str = "", *, environment: dict[str, str] | None = None, **options: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(text, environment=environment, **options)
    return list(caught.value.problems)


def test_without_any_source_everything_has_its_default() -> None:
    assert load_settings(environment={}) == Settings()


def test_the_default_listens_on_loopback_only() -> None:
    (listener,) = Settings().listen
    assert listener.url == "http://127.0.0.1:6789"
    assert listener.address.local


def test_every_limit_is_a_key_with_the_default_of_its_struct() -> None:
    expected = {
        f"limits.{field.name}": field.default
        for struct in (Limits, CoreLimits)
        for field in msgspec.structs.fields(struct)
    }
    assert {path: key.default for path, key in keys().items() if key.section == "limits"} == expected


def test_no_limit_of_the_site_has_the_name_of_one_of_the_core() -> None:
    assert not set(Limits.__struct_fields__) & set(CoreLimits.__struct_fields__)


def test_every_key_has_a_description_and_a_variable_and_an_option_of_its_own() -> None:
    assert [path for path, key in keys().items() if len(key.help) < 10] == []
    assert len({key.variable for key in keys().values()}) == len(keys())
    served = [key.option for key in keys().values() if key.section != "client"]
    assert len(set(served)) == len(served)


def test_every_default_and_every_example_fits_its_key() -> None:
    from anycore.settings.values import fit

    for key in keys().values():
        assert fit(key, key.default) == key.default
        assert fit(key, key.example) == key.example


def _other(value: Any) -> tuple[Any, str]:
    """Another value of the same type, and its text."""
    if isinstance(value, bool):
        return not value, str(not value).lower()
    if isinstance(value, int | float):
        return value + 1, str(value + 1)
    if isinstance(value, str):
        return "027", "027"
    return ("a", "b"), "a,b"


OTHERS = {
    "limits.busy_poll_time": (0.002, "0.002"),
    "server.core": ("threaded", "threaded"),
    "server.store": ("memory:", "memory:"),
    "listen.url": ("http://127.0.0.1:1", "http://127.0.0.1:1"),
    "listen.client_certificate": ("required", "required"),
    "log.level": ("debug", "debug"),
    "log.format": ("json", "json"),
    "log.file": ("c.pem", "c.pem"),
    "log.access": ("c.pem", "c.pem"),
    **{f"{section}.{name}": ("c.pem", "c.pem") for section in ("listen", "client") for name in ("certificate", "key")},
    "listen.client_ca": ("c.pem", "c.pem"),
    "listen.crl": ("c.pem", "c.pem"),
    "enrolment.ca": ("ca", "ca"),
    "client.ca": ("c.pem", "c.pem"),
    "listen.mode": ("660", "660"),
    "server.plugins": (("a.py", "b.py"), "a.py,b.py"),
    "authentication.chain": (("token", "unix"), "token,unix"),
    "authentication.password_file": ("c.pem", "c.pem"),
    "listen.authenticator": ("doors:knock", "doors:knock"),
    "authentication.machine_password": ("$argon2id$", "$argon2id$"),
    "authentication.certificate_name": ("subject", "subject"),
    "authentication.proxies": (("192.0.2.1", "unix"), "192.0.2.1,unix"),
    "sessions.implicit": ("any", "any"),
    **{f"sessions.{name}": ("c.pem", "c.pem") for name in ("certificate", "key", "client_ca")},
    "groups.admins": (("dn:/DC=org", "user:bob"), "dn:/DC=org,user:bob"),
    "access.file": ("empty.toml", "empty.toml"),
    "access.clarens": (("empty.ini", "empty.toml"), "empty.ini,empty.toml"),
    "access.bcfg2": ("ACL", "ACL"),
}


_HTTPS = {"listen.url": "https://127.0.0.1:1", "listen.certificate": "c.pem"}
_PROXY: dict[str, Any] = {
    "authentication.chain": ["proxy"],
    "authentication.proxies": ["unix"],
    "authentication.proxy_user": "x-user",
}
_KNOCK = {"listen.url": "rpyc://127.0.0.1:1"}
COMPANY: dict[str, dict[str, Any]] = {  # what a key makes sense with only
    "listen.certificate": {"listen.url": "https://127.0.0.1:1"},
    "listen.key": _HTTPS,
    "listen.client_ca": {**_HTTPS, "listen.client_certificate": "required"},
    "listen.client_certificate": {**_HTTPS, "listen.client_ca": "c.pem"},
    "listen.crl": {**_HTTPS, "listen.client_certificate": "required", "listen.client_ca": "c.pem"},
    "listen.minimum_tls": _HTTPS,
    "listen.authenticator": _KNOCK,
    "listen.mode": {"listen.url": "unix+http:///tmp/s"},
    "discovery.register": {"listen.url": "rpyc://127.0.0.1:1"},
    **{f"authentication.{name}": _PROXY for name in ("proxies", "proxy_user", "proxy_groups", "proxy_dn")},
    "authentication.proxy_address": {"authentication.proxies": ["unix"]},
    "sessions.challenge": {"sessions.certificate": "c.pem", "sessions.client_ca": "c.pem"},
    "enrolment.ca": _HTTPS,
    "process.take_over": {"process.control": "/run/control.sock"},
}


@pytest.mark.parametrize("path", list(keys()))
def test_every_key_can_be_given_in_the_file_by_the_environment_and_as_an_option(path: str) -> None:
    from anycore.settings.values import toml

    key = keys()[path]
    other = next(((one, one) for one in key.choices if one != key.default), None)
    value, text = OTHERS.get(path) or other or _other(key.default)
    section = next(section for section in SECTIONS if section.name == key.section)

    def found(settings: Settings) -> Any:
        if key.section == "listen":
            return getattr(settings.listen[0], key.name)
        holder = getattr(settings, key.section)
        return getattr(holder if hasattr(holder, key.name) else settings.core_limits, key.name)

    company = {other: value for other, value in COMPANY.get(path, {}).items() if other != path}
    lines = [f"{keys()[other].name} = {toml(text)}" for other, text in company.items()]
    if company and next(iter(company)).startswith("listen.") and key.section != "listen":
        lines.insert(0, "[[listen]]")
    for name in ("empty.toml", "empty.ini"):
        write("", name)
    Path("ACL").mkdir()
    write("<ACL/>", "ACL/ip.xml")
    write("", "ca/ca.pem")
    file = write("\n".join([section.table, f"{key.name} = {toml(value)}", *lines]), "one.toml")
    assert found(load_settings(file=file, environment={})) == value
    variables = {
        keys()[other].variable: one if isinstance(one, str) else ",".join(one) for other, one in company.items()
    }
    assert found(load_settings(environment={**variables, key.variable: text})) == value
    option = list(value) if isinstance(value, tuple) else value if isinstance(value, bool) else text
    assert found(load_settings(options={**company, path: option}, environment={})) == value


def test_an_option_wins_over_the_environment_over_the_file_over_the_default() -> None:
    text = "[limits]\nidle_time = 1\nsend_time = 1\nstop_time = 1\n"
    environment = {"ANYCORE_LIMITS_IDLE_TIME": "2", "ANYCORE_LIMITS_SEND_TIME": "2"}
    settings = load(text, environment=environment, limits__idle_time="3")
    assert settings.core_limits == CoreLimits(idle_time=3.0, send_time=2.0, stop_time=1.0)
    assert settings.origins == {
        "limits.idle_time": "option --idle-time",
        "limits.send_time": "environment variable ANYCORE_LIMITS_SEND_TIME",
        "limits.stop_time": "anycore.toml: limits.stop_time",
    }


def test_an_option_that_was_not_given_and_an_empty_variable_leave_the_file_alone() -> None:
    settings = load(
        "[server]\nreload = true\n", environment={"ANYCORE_RELOAD": ""}, server__reload=None, server__plugins=()
    )
    assert settings.server.reload


def test_the_file_is_the_named_one_or_that_of_the_environment_or_the_one_here() -> None:
    write("[log]\nlevel = 'error'", "anycore.toml")
    write("[log]\nlevel = 'debug'", "a.toml")
    write("[log]\nlevel = 'warning'", "b.toml")
    assert load_settings(environment={}).log.level == "error"
    assert load_settings(environment={"ANYCORE_CONFIG": "a.toml"}).log.level == "debug"
    found = load_settings(file="b.toml", environment={"ANYCORE_CONFIG": "a.toml"})
    assert (found.log.level, found.file) == ("warning", "b.toml")


def test_relative_paths_in_the_file_are_relative_to_the_file(tmp_path: Path) -> None:
    Path("etc/package").mkdir(parents=True)
    Path("etc/server.pem").touch()
    text = """
        [server]
        plugins = ["./plugins", "one.py", "package", "installed.module", "/absolute", "~/mine"]
        [[listen]]
        url = "https://127.0.0.1:6789"
        certificate = "server.pem"
    """
    settings = load_settings(file=write(text, "etc/x.toml"), environment={})
    home = str(Path("~/mine").expanduser())
    assert settings.server.plugins == (
        "etc/plugins", "etc/one.py", "etc/package", "installed.module", "/absolute", home
    )  # fmt: skip
    assert settings.listen[0].certificate == "etc/server.pem"


def test_relative_paths_of_options_and_the_environment_are_relative_to_the_current_directory() -> None:
    write("", "etc/x.toml")
    settings = load_settings(file="etc/x.toml", options={"server.plugins": ("p",)}, environment={})
    assert settings.server.plugins == ("p",)
    settings = load_settings(file="etc/x.toml", environment={"ANYCORE_PLUGINS": "p, q.py"})
    assert settings.server.plugins == ("p", "q.py")


@pytest.mark.parametrize("word", ["true", "True", "1", "yes", "ON"])
def test_a_variable_can_say_yes_in_several_ways(word: str) -> None:
    assert load(environment={"ANYCORE_RELOAD": word}).server.reload


def test_tables_of_plugins_are_handed_on_unchecked() -> None:
    settings = load('[plugin.thermostat]\nunit = "C"\nrooms = [{name = "hall"}]\n')
    assert settings.plugin == {"thermostat": {"unit": "C", "rooms": [{"name": "hall"}]}}


def test_several_listeners() -> None:
    settings = load('[[listen]]\nurl = "http://127.0.0.1:1"\n[[listen]]\nurl = "http://[::1]:1"\nhosts = ["a"]\n')
    assert settings.listen == (
        ListenSettings(url="http://127.0.0.1:1"),
        ListenSettings(url="http://[::1]:1", hosts=("a",)),
    )


def test_listeners_of_options_take_the_place_of_those_in_the_file() -> None:
    text = '[[listen]]\nurl = "http://127.0.0.1:1"\n'
    assert [one.url for one in load(text, listen__url=("http://127.0.0.1:2", "http://127.0.0.1:3")).listen] == [
        "http://127.0.0.1:2",
        "http://127.0.0.1:3",
    ]
    environment = {"ANYCORE_LISTEN": "http://127.0.0.1:4, http://127.0.0.1:5"}
    assert [one.url for one in load(text, environment=environment).listen] == [
        "http://127.0.0.1:4",
        "http://127.0.0.1:5",
    ]


def test_options_for_listeners_concern_all_and_those_of_tls_the_https_ones() -> None:
    settings = load(
        listen__url=("https://127.0.0.1:1", "http://127.0.0.1:2", "unix+http:///tmp/s"),
        listen__certificate="c.pem",
        listen__hosts=("a", "b"),
        listen__mode="660",
    )
    assert [(one.certificate, one.hosts, one.mode) for one in settings.listen] == [
        ("c.pem", ("a", "b"), "600"),
        ("", ("a", "b"), "600"),
        ("", ("a", "b"), "660"),
    ]


def test_an_option_of_tls_without_an_https_listener_is_refused() -> None:
    (problem,) = problems(listen__certificate="c.pem")
    assert (
        problem
        == "option --certificate: no listener is https or rpycs; add one with e.g. --listen https://127.0.0.1:6789"
    )


def test_hosts_may_be_any() -> None:
    assert ListenSettings(hosts=("a",)).allowed_hosts == ("a",)
    assert ListenSettings(hosts=("a", "*")).allowed_hosts is None


WRONG = {
    '[limits]\nidle_time = "soon"': "anycore.toml: limits.idle_time: expected a number of seconds from 0 to 1000000, got the"
    ' string "soon"; write e.g. idle_time = 75.0',
    "[limits]\nidle_time = true": "got true; write e.g. idle_time = 75.0",
    "[limits]\nidle_time = nan": "got the number nan",
    "[limits]\nidle_time = inf": "got the number inf",
    "[limits]\nidle_time = -1": "got the number -1",
    "[limits]\nbody = 0": "limits.body: expected a whole number from 1 to 2147483647, got the number 0; write e.g. body = 16777216",
    "[limits]\nbody = 1.5": "expected a whole number from 1 to 2147483647, got the number 1.5",
    "[limits]\nbody = 0x" + "f" * 9000: "got the number 0xfff",
    "[limits]\nbody = 2024-01-02": "got the date 2024-01-02",
    "[limits]\nbody = 10:00:00": "got the time 10:00:00",
    "[limits]\nbody = {a = 1}": "got a table",
    "[limits]\nidel_time = 3": "anycore.toml: limits.idel_time: there is no such key; did you mean idle_time?",
    "[limits]\nreload = true": "limits.reload: there is no such key; reload belongs below [server]",
    "idle_time = 3": "anycore.toml: idle_time: there is no such key outside of a table; idle_time belongs below [limits]",
    "[limit]\nidle_time = 3": "anycore.toml: limit: there is no such table; did you mean limits?",
    "[xyzzy]": "there is no such table; known are: server, listen, limits, ",
    "server = 3": "anycore.toml: server: expected a table; write [server] and its keys below",
    "[server]\nreload = 1": "server.reload: expected true or false, got the number 1; write e.g. reload = true",
    '[server]\nplugins = "p"': 'expected a list of strings, got the string "p"; write e.g. plugins = ["./plugins"]',
    "[server]\nplugins = [1]": "expected a list of strings, got the list [1]",
    '[server]\ncore = "asyncoi"': "anycore.toml: server.core: there is no core 'asyncoi'; did you mean asyncio?",
    '[log]\nlevel = "inf"': 'one of critical, debug, error, info, warning, got the string "inf" (did you mean info?)',
    '[listen]\nurl = "http://127.0.0.1:1"': "listen: expected a table; write [[listen]], in double brackets, and its keys below",
    "listen = [1]": "listen: expected a table; write [[listen]], in double brackets,",
    "plugin = 1": "plugin: expected a table; write [plugin.NAME] and its keys below",
    "[plugin]\nunit = 1": "plugin.unit: expected a table",
    '[plugin."a b"]': "plugin.a b: expected a table; write [plugin.NAME], with the name of a plugin,",
    "[server\n": "anycore.toml: line 1, column 8: ",
    "[server]\ncore = \n": "anycore.toml: line 2, column 8: invalid value; correct the TOML there: core =",
    "[server]\ncore = 'a'\ncore = 'b'\n": "line 3, column 11: cannot overwrite a value",
    "a = [": "anycore.toml: at its end: invalid value; correct the TOML there",
}


@pytest.mark.parametrize("text", list(WRONG))
def test_a_wrong_file_is_refused_with_file_path_and_cure(text: str) -> None:
    (problem,) = problems(text)
    assert WRONG[text] in problem
    assert "\n" not in problem


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    Path("latin.toml").write_bytes(b"[log]\nlevel = '\xe9'\n")
    Path("deep.toml").write_text("a = " + "[" * 100_000, encoding="utf-8")
    cases = {
        "no.toml": "no.toml: cannot be read: No such file or directory; check the path, or leave out -c and ANYCORE_CONFIG",
        str(tmp_path): "cannot be read: Is a directory",
        "latin.toml": "latin.toml: byte 15 is not UTF-8",
        "deep.toml": "deep.toml: is nested too deeply",
    }
    for file, expected in cases.items():
        with pytest.raises(ConfigurationError) as caught:
            load_settings(file=file, environment={})
        assert expected in str(caught.value)


LISTENERS = {
    "127.0.0.1:6789": "expected a URL with one of the schemes http, https, rpyc, rpycs, unix+http, unix+rpyc, stdio+http, stdio+rpyc; write http://127.0.0.1:6789",
    "localhost:7000": "; write http://localhost:7000",
    "[::1]:7000": "; write http://[::1]:7000",
    "7000": "; write http://127.0.0.1:7000",
    ":7000": "; write http://127.0.0.1:7000",
    "here": "; write e.g. http://127.0.0.1:6789",
    "ftp://x:1": "expected a URL with one of the schemes",
    "jsonrpc+http://127.0.0.1:1": "a listener speaks every wire of HTTP, so its URL names none; write http://...",
    "http://127.0.0.1": "expected a port; write e.g. http://127.0.0.1:6789",
    "http://127.0.0.1:99999": "Port out of range",
    "http://127.0.0.1:x": "Port could not be cast",
    "http://:1": "expected a host; write 127.0.0.1 for this machine only, or 0.0.0.0 or [::]",
    "http://*:1": "expected a host",
    "http://127.0.0.1:1/RPC2": "expected no path, a listener answers on all of its paths; write http://127.0.0.1:1",
    "http://a:b@127.0.0.1:1": "has no user, query or fragment",
    "http://[::1:1": "expected the URL of a listener (Invalid IPv6 URL)",
    "unix+http://relative": "expected the absolute path of a socket, after three slashes",
    "http://0.0.0.0:1": "can be reached from other machines and is not encrypted; write https://0.0.0.0:1 and",
    "http://[::]:1": "or http://127.0.0.1:1 for this machine only",
    "http://server.example.org:1": "insecure = true if the network may read and change everything",
    "https://127.0.0.1:1": 'listen[0].certificate: https://127.0.0.1:1 needs one; write certificate = "server.pem"',
}


@pytest.mark.parametrize("url", list(LISTENERS))
def test_a_listener_that_cannot_be_or_is_not_safe_is_refused(url: str) -> None:
    (problem,) = problems(f'[[listen]]\nurl = "{url}"\n')
    assert LISTENERS[url] in problem


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "http://127.1.2.3:1", "http://[::1]:1", "unix+http:///tmp/a%20b"]
)
def test_a_listener_for_this_machine_needs_no_tls(url: str) -> None:
    assert load(listen__url=(url,)).listen[0].address.local


def test_the_cure_for_an_open_listener_is_in_the_words_of_its_source() -> None:
    (problem,) = problems(listen__url=("http://0.0.0.0:1",))
    assert problem.startswith("option --listen: ")
    assert "--certificate server.pem" in problem
    assert "--insecure" in problem
    (problem,) = problems(environment={"ANYCORE_LISTEN": "http://0.0.0.0:1"})
    assert problem.startswith("environment variable ANYCORE_LISTEN: ")
    assert "ANYCORE_LISTEN_INSECURE=true" in problem


def test_an_open_listener_can_be_wanted() -> None:
    assert load(listen__url=("http://0.0.0.0:1",), listen__insecure=True).listen[0].insecure


def test_what_belongs_to_tls_must_fit_together() -> None:
    https = '[[listen]]\nurl = "https://127.0.0.1:1"\ncertificate = "c.pem"\n'
    assert (
        load(https + 'client_ca = "c.pem"\nclient_certificate = "optional"').listen[0].client_certificate == "optional"
    )
    (problem,) = problems(https + 'client_ca = "c.pem"')
    assert "listen[0].client_ca: no client certificates are asked for" in problem
    (problem,) = problems(https + 'crl = "c.pem"')
    assert 'listen[0].crl: no client certificates are asked for; write client_certificate = "required"' in problem
    (problem,) = problems(https + 'client_certificate = "required"')
    assert (
        'listen[0].client_certificate: nothing says whose certificates are accepted; write client_ca = "ca.pem"'
        in problem
    )
    (problem,) = problems(https + 'key = "no.pem"')
    assert "listen[0].key: there is no file no.pem" in problem
    (problem,) = problems('[[listen]]\ncertificate = "c.pem"')
    assert "http://127.0.0.1:6789 does not use TLS; write https:// there, or remove this" in problem


def test_two_listeners_of_one_address_are_refused_unless_the_port_is_free_to_choose() -> None:
    (problem,) = problems(listen__url=("http://127.0.0.1:1", "http://127.0.0.1:1"))
    assert "listen[0] has that address already; give this one another port" in problem
    assert len(load(listen__url=("http://127.0.0.1:0", "http://127.0.0.1:0")).listen) == 2


@pytest.mark.parametrize("mode", ["9", "abc", "1777", ""])
def test_the_mode_of_a_socket_is_octal(mode: str) -> None:
    (problem,) = problems(f'[[listen]]\nmode = "{mode}"\n')
    assert "expected three octal digits" in problem
    assert problem.endswith('; write e.g. mode = "660"')


def test_the_environment_is_named_when_it_is_wrong() -> None:
    assert problems(environment={"ANYCORE_LIMITS_IDLE_TIME": "soon", "ANYCORE_RELOAD": "ja"}) == [
        (
            "environment variable ANYCORE_LIMITS_IDLE_TIME: expected a number of seconds from 0 to 1000000, got the string"
            ' "soon"; write e.g. ANYCORE_LIMITS_IDLE_TIME=75.0'
        ),
        'environment variable ANYCORE_RELOAD: expected true or false, got the string "ja"; write e.g. ANYCORE_RELOAD=true',
    ]


def test_a_slip_in_the_name_of_a_variable_is_refused_and_a_strange_one_is_not() -> None:
    (problem,) = problems(environment={"ANYCORE_LIMITS_IDEL_TIME": "3"})
    assert problem.endswith(
        "ANYCORE_LIMITS_IDEL_TIME: there is no such setting; did you mean ANYCORE_LIMITS_IDLE_TIME?"
    )
    load(environment={"ANYCORE_PORT_6789_TCP": "tcp://10.0.0.1:6789", "ANYCORE_REQUIRE_PEERS": "1"})


def test_an_option_is_named_when_it_is_wrong() -> None:
    assert problems(limits__body="x", log__level="loud") == [
        'option --body: expected a whole number from 1 to 2147483647, got the string "x"; write e.g. --body 16777216',
        (
            'option --log-level: expected one of critical, debug, error, info, warning, got the string "loud"; write e.g. --log-level'
            " info"
        ),
    ]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = '[server]\ncoer = "x"\n[limits]\nbody = "x"\n[[listen]]\nurl = "http://0.0.0.0:1"\n'
    found = problems(text, environment={"ANYCORE_RELOAD": "ja"}, limits__line="x", server__core="no")
    assert len(found) == 6


def test_only_the_tables_that_are_wanted_are_read() -> None:
    write("[server]\ncoer = 1\n[client]\ntimeout = 5\n")
    environment = {"ANYCORE_LIMITS_BODY": "x", "ANYCORE_LIMITS_BODI": "1"}
    assert load_settings(environment=environment, sections=("client",)).client.timeout == 5.0


def test_settings_can_be_made_by_a_program() -> None:
    settings = Settings(server=ServerSettings(core="threaded"), listen=(ListenSettings(url="http://127.0.0.1:0"),))
    assert settings.core_limits == CoreLimits()
    assert not math.isnan(settings.client.timeout)
