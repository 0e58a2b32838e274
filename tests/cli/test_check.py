"""`anycore check` and `anycore config`."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from anycore.cli.exits import Exit
from anycore.settings.keys import keys
from anycore.settings.sources import load_settings
from anycore.testing.certificate import Certifier

Run = Callable[..., Result]


def test_all_is_well(run: Run, plugin_source: str) -> None:
    Path("sample.py").write_text(plugin_source)
    Path("anycore.toml").write_text('[server]\nplugins = ["sample.py"]\ncore = "threaded"\n')
    result = run("check")
    assert result.exit_code == Exit.OK, result.output
    assert "configuration: anycore.toml; core: threaded; listeners: http://127.0.0.1:6789" in result.stdout
    assert "sample.add(a: int, b: int = 1) -> int" in result.stdout
    assert result.stdout.endswith("all is well\n")


def test_rules_are_counted(run: Run) -> None:
    Path("anycore.toml").write_text('[[access.rule]]\nallow = ["a"]\nallow_read = ["/a"]\nto = ["*"]\n')
    assert "rules: 2 from anycore.toml\n" in run("check").stdout


def test_a_wrong_configuration_is_told_completely(run: Run) -> None:
    Path("x.toml").write_text('[server]\ncoer = "x"\n[limits]\nidle_time = "soon"\n')
    result = run("check", "-c", "x.toml")
    assert result.exit_code == Exit.CONFIGURATION
    assert result.stderr.splitlines() == [
        "Error: x.toml: server.coer: there is no such key; did you mean core?",
        (
            "Error: x.toml: limits.idle_time: expected a number of seconds from 0 to 1000000, got the string"
            ' "soon"; write e.g. idle_time = 75.0'
        ),
    ]


def test_a_plugin_that_is_refused(run: Run) -> None:
    Path("broken.py").write_text("import nothing_of_that_name\n")
    Path("empty.py").write_text("")
    result = run("check", "broken.py", "empty.py", "missing.py")
    assert result.exit_code == Exit.STARTUP
    assert "missing.py" in result.stderr
    result = run("check", "broken.py", "empty.py")
    assert "nothing_of_that_name" in result.stderr
    assert "empty.py is refused" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_table_for_a_plugin_that_is_not_loaded(run: Run, plugin_source: str) -> None:
    Path("sample.py").write_text(plugin_source)
    Path("anycore.toml").write_text('[server]\nplugins = ["sample.py"]\n[plugin.sampel]\nx = 1\n')
    result = run("check")
    assert result.exit_code == Exit.CONFIGURATION
    assert result.stderr == "Error: anycore.toml: plugin.sampel: no such plugin is loaded; did you mean sample?\n"


def test_a_directory_without_a_plugin_is_named(run: Run) -> None:
    Path("plugins").mkdir()
    result = run("check", "plugins")
    assert result.exit_code == Exit.OK
    assert "There is no plugin in plugins. `anycore new plugin NAME -d plugins` makes one.\n" in result.stdout


def test_a_plugin_under_the_name_of_a_bundled_one(run: Run, plugin_source: str) -> None:
    Path("group.py").write_text(plugin_source.replace("class Sample", "class Group"))
    result = run("check", "group.py")
    assert result.exit_code == Exit.STARTUP
    assert "plugin 'group' from group.py is refused: anycore has a plugin of that name already; set" in result.stderr


def test_a_certificate_that_is_none(run: Run) -> None:
    Path("c.pem").write_text("nonsense")
    result = run("check", "--listen", "https://127.0.0.1:0", "--certificate", "c.pem")
    assert result.exit_code == Exit.STARTUP
    assert "cannot set up TLS for https://127.0.0.1:0" in result.stderr


def test_no_address_is_bound(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("check", "--listen", f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert result.exit_code == Exit.OK, result.output


def test_the_configuration_is_printed_with_every_key_and_loads_again(run: Run) -> None:
    result = run("config", "--core", "threaded", "--idle-time", "3")
    assert result.exit_code == Exit.OK
    assert [path for path, key in keys().items() if f", {key.variable}; default: " not in result.stdout] == []
    assert "; from option --idle-time\nidle_time = 3.0\n" in result.stdout
    Path("anycore.toml").write_text(result.stdout)
    settings = load_settings(environment={})
    assert (settings.server.core, settings.core_limits.idle_time) == ("threaded", 3.0)


def test_the_help_of_serve_has_every_option(run: Run) -> None:
    text = run("serve", "--help").stdout + run("call", "--help").stdout
    assert [key.option for key in keys().values() if f" {key.option}" not in text and key.option != "PATHS"] == []


def test_what_ends_soon_and_an_authority_that_cannot_be_used(run: Run, tmp_path: Path) -> None:
    certifier = Certifier(tmp_path)
    certifier.server(days=3)
    listen = '[[listen]]\nurl = "https://127.0.0.1:1"\ncertificate = "server.pem"\n'
    Path("anycore.toml").write_text(listen)
    result = run("check")
    assert result.exit_code == Exit.OK
    assert "warning: https://127.0.0.1:1: what certificate names ends in 2 days, on 2" in result.stdout
    assert result.stdout.endswith("all is well, but for what ends\n")
    Path("anycore.toml").write_text(f'{listen}[enrolment]\nca = "{certifier.authority.directory}"\n')
    assert run("check").exit_code == Exit.OK
    (certifier.authority.directory / "ca.key").unlink()
    result = run("check")
    assert result.exit_code == Exit.STARTUP
    assert "enrolment.ca: " in result.stderr and "ca.key cannot be read" in result.stderr
