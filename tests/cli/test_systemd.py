"""`anycore systemd`: units that systemd itself finds nothing wrong with."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from anycore.cli.exits import Exit
from anycore.testing.certificate import CERTIFICATE

Run = Callable[..., Result]
AS_SYSTEMD_SEES = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def units(text: str) -> dict[str, str]:
    parts = re.split(r"^# (\S+\.(?:service|socket))\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def command(unit: str, field: str = "ExecStart") -> list[str]:
    (line,) = re.findall(rf"^{field}=(.*)$", unit, re.MULTILINE)
    return shlex.split(line.replace("%%", "%").replace("$$", "$"))


def test_the_service_is_started_with_the_same_settings(run: Run, plugin_source: str) -> None:
    Path("sample plugin.py").write_text(plugin_source)
    Path("anycore.toml").write_text("[limits]\nidle_time = 60\n")
    done = run(
        "systemd", "sample plugin.py", "--core", "threaded", "--listen", "http://localhost:6789", "--no-debug",
        "--listen", "unix+rpyc:///run/x.sock", "--mode", "660", ANYCORE_LIMITS_SEND_TIME="5",
    )  # fmt: skip
    assert done.exit_code == Exit.OK, done.output
    found = units(done.stdout)
    here = Path.cwd()
    start = command(found["anycore.service"])
    assert start[start.index("serve") :] == [
        "serve", "--config", f"{here}/anycore.toml", "--core", "threaded", "--no-debug", "--send-time", "5.0",
        "--listen", "http://localhost:6789", "--listen", "unix+rpyc:///run/x.sock", "--mode", "660",
        f"{here}/sample plugin.py", "--control", "%t/anycore/control.sock",
    ]  # fmt: skip
    assert Path(start[0]).is_absolute()
    assert command(found["anycore.service"], "ExecReload")[-2:] == ["%t/anycore/control.sock", "reload"]
    assert "DynamicUser=yes" in found["anycore.service"]
    assert re.findall("^ListenStream=(.*)$", found["anycore.socket"], re.MULTILINE)[1] == "/run/x.sock"
    assert "SocketMode=660" in found["anycore.socket"]
    # What the unit says can be said to `anycore` itself.
    checked = run("check", *start[start.index("serve") + 1 :])
    assert checked.exit_code == Exit.OK, checked.output


def test_a_server_with_a_key_has_a_user_who_can_read_it(run: Run) -> None:
    Path("c.pem").write_text(CERTIFICATE)
    done = run("systemd", "--listen", "https://[::1]:6789", "--certificate", "c.pem", "--unit", "web")
    found = units(done.stdout)
    assert f"# web must be able to read {Path.cwd()}/c.pem" in found["web.service"]
    assert "User=web\nGroup=web\n" in found["web.service"]
    assert "ListenStream=[::1]:6789" in found["web.socket"]


def test_what_cannot_be_a_unit_is_refused(run: Run) -> None:
    done = run("systemd", "--listen", "http://127.0.0.1:0")
    assert done.exit_code == Exit.STARTUP
    assert "port 0 is another one each time; give the listener a port" in done.stderr
    done = run("systemd", "--write", "/no/such/place")
    assert done.exit_code == Exit.USAGE
    assert "cannot write /no/such/place/anycore.service" in done.stderr


@AS_SYSTEMD_SEES
@pytest.mark.parametrize("arguments", [[], ["--core", "prefork", "--listen", "unix+http:///run/a b.sock", "x%y.py"]])
def test_systemd_finds_nothing_wrong_and_the_service_well_shut_in(run: Run, arguments: list[str]) -> None:
    Path("units").mkdir()
    done = run("systemd", *arguments, "--write", "units")
    assert done.exit_code == Exit.OK, done.output
    assert "systemctl enable --now anycore.socket anycore.service" in done.stdout
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "./anycore.service", "./anycore.socket"], cwd="units",
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    about_ours = [line for line in verified.stderr.splitlines() if "anycore" in line]
    assert (verified.returncode, about_ours) == (0, [])
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "./anycore.service"], cwd="units",
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for anycore\.service: ([\d.]+)", judged.stdout)
    assert found is not None, judged.stderr
    assert float(found[1]) <= 2.0
