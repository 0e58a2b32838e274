"""SIGHUP and `anycore ctl reload`: what is read again takes effect, whole or not at all."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from anycore.clients import Fault, connect
from anycore.server.process.control import ControlError
from anycore.testing.certificate import CERTIFICATE, Certifier

Home = Any  # as the fixtures have it; a conftest cannot be imported
Until = Callable[..., Any]
SECONDS = 40
OTHER = """
from anycore import Plugin, exposed

class Other(Plugin):
    @exposed
    def greet(self) -> str:
        return "hello"
"""


def configure(home: Home, text: str) -> None:
    (home.folder / "anycore.toml").write_text(text)


def idle_seconds(url: str) -> bool:
    """Tell whether an idle connection is closed soon."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), SECONDS) as peer:
        peer.settimeout(3)
        try:
            return peer.recv(1000) == b""
        except TimeoutError:
            return False


@pytest.mark.parametrize("core", ["asyncio", "prefork"])
def test_limits_level_and_debugging_change_while_it_runs(home: Home, until: Until, core: str) -> None:
    configure(home, "[limits]\nidle_time = 60\n")
    pid = home.start("--core", core, "--log-level", "info").pid
    home.call("pid")
    configure(home, "[limits]\nidle_time = 0.2\nbody = 4000\n[server]\ndebug = true\n")
    done = home.ask("reload")
    assert sorted(done["changed"]) == ["limits.body", "limits.idle_time", "server.debug"]
    assert done["later"] == []
    assert home.answers() == pid
    with connect(home.url, timeout=SECONDS) as client:
        assert client.call("sample.echo", "x" * 100) == "x" * 100
    with connect(home.url, timeout=SECONDS) as client, pytest.raises(Exception, match="413"):
        client.call("sample.echo", "x" * 5000)
    assert until(lambda: idle_seconds(home.url), "a short idle time")
    assert "reload: these settings took effect" in home.log.read_text()


def test_a_wrong_configuration_changes_nothing_and_is_named(home: Home, until: Until) -> None:
    configure(home, "[limits]\nbody = 4000\n")
    pid = home.start().pid
    configure(home, '[limits]\nbody = 1000000\nidle_time = "soon"\n[log]\nlevel = "debug"\n')
    with pytest.raises(ControlError, match=r"limits\.idle_time: expected a number of seconds"):
        home.ask("reload")
    os.kill(pid, signal.SIGHUP)
    until(lambda: home.log.read_text().count("the configuration is refused, the one before stays in force") == 2)
    with connect(home.url, timeout=SECONDS) as client, pytest.raises(Exception, match="413"):
        client.call("sample.echo", "x" * 5000)
    configure(home, "[limits]\nbody = 1000000\n[plugin.nobody]\nkey = 1\n")
    with pytest.raises(ControlError, match=r"has a table \[plugin.nobody\], but no such plugin is loaded"):
        home.ask("reload")
    with connect(home.url, timeout=SECONDS) as client, pytest.raises(Exception, match="413"):
        client.call("sample.echo", "x" * 5000)


def test_what_cannot_change_is_named_and_takes_effect_with_a_restart(home: Home) -> None:
    configure(home, "[limits]\nbody = 4000\n")
    home.start()
    configure(home, '[server]\ncore = "threaded"\n[limits]\nworkers = 3\nbody = 5000\n')
    done = home.ask("reload")
    assert done == {"changed": ["limits.body"], "later": ["server.core", "limits.workers"], "plugins": ["sample"]}
    assert "server.core, limits.workers: takes effect with a restart: anycore ctl restart" in home.log.read_text()
    assert home.ask("status")["core"] == "asyncio"
    home.ask("restart")
    assert home.ask("status")["core"] == "threaded"


@pytest.mark.parametrize("core", ["asyncio", "prefork"])
def test_plugins_come_and_go_with_the_configuration(home: Home, core: str) -> None:
    configure(home, '[server]\nplugins = ["sample.py"]\n')
    (home.folder / "other.py").write_text(OTHER)
    home.start("--core", core, paths=())
    configure(home, '[server]\nplugins = ["other.py"]\n')
    assert home.ask("reload")["plugins"] == ["other", "sample"]
    assert home.ask("status")["plugins"].count("other") == 1
    with connect(home.url, timeout=SECONDS) as client:
        assert client.call("other.greet") == "hello"
        with pytest.raises(Fault, match="sample"):
            client.call("sample.pid")
    configure(home, '[server]\nplugins = ["other.py", "sample.py"]\n')
    (home.folder / "sample.py").write_text("syntax error")
    with pytest.raises(ControlError, match=r"sample\.py"):
        home.ask("reload")
    with connect(home.url, timeout=SECONDS) as client:
        assert client.call("other.greet") == "hello"


def test_an_edited_plugin_is_loaded_and_one_that_is_broken_goes_on(home: Home, until: Until) -> None:
    pid = home.start().pid
    source = (home.folder / "sample.py").read_text()
    (home.folder / "sample.py").write_text(source.replace("return os.getpid()", "return -1"))
    assert home.ask("reload")["plugins"] == ["sample"]
    assert home.call("pid") == -1
    (home.folder / "sample.py").write_text("syntax error")
    os.kill(pid, signal.SIGHUP)
    until(lambda: "the old version goes on serving" in home.log.read_text())
    assert home.call("pid") == -1


@pytest.mark.parametrize("core", ["asyncio", "prefork"])
def test_certificates_are_read_again(home: Home, core: str) -> None:
    file = home.folder / "c.pem"
    file.write_text(CERTIFICATE)
    home.start("--core", core, "--certificate", str(file), listen="https://127.0.0.1:0")
    port = int(home.url.rpartition(":")[2])
    before = ssl.get_server_certificate(("127.0.0.1", port))
    file.write_bytes(Certifier(home.folder).server().read_bytes())
    home.ask("reload")
    assert ssl.get_server_certificate(("127.0.0.1", port)) != before
    file.write_text("nonsense")
    with pytest.raises(ControlError, match="cannot set up TLS"):
        home.ask("reload")
    assert ssl.get_server_certificate(("127.0.0.1", port)) != before
