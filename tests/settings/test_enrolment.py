from __future__ import annotations

from pathlib import Path

import pytest

from anycore.settings.problems import ConfigurationError
from anycore.settings.sources import load_settings

LISTEN = '[[listen]]\nurl = "https://127.0.0.1:1"\ncertificate = "c.pem"\n'
ASKS = 'client_ca = "c.pem"\nclient_certificate = "{}"\n'
ON = '[enrolment]\nca = "ca"\n'


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.pem").touch()
    Path("ca").mkdir()
    Path("ca/ca.pem").touch()


def problem(text: str) -> str:
    Path("anycore.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environment={})
    return str(caught.value)


@pytest.mark.parametrize("asks", ["", ASKS.format("optional")])
def test_it_is_on_where_there_is_an_authority_and_a_way_in(asks: str) -> None:
    Path("anycore.toml").write_text(LISTEN + asks + ON)
    settings = load_settings(environment={})
    assert (settings.enrolment.ca, settings.enrolment.days) == ("ca", 90)


def test_what_must_fit_together() -> None:
    assert "enrolment.ca: there is no authority in c.pem; make one with: anycore ca init c.pem" in problem(
        LISTEN + ON.replace('"ca"', '"c.pem"')
    )
    assert "enrolment.ca: no listener takes new machines, which have no certificate yet" in problem(
        LISTEN + ASKS.format("required") + ON
    )
    assert "enrolment.ca: no listener takes new machines" in problem(ON)
    assert "enrolment.passphrase_file: there is no file nothing" in problem(LISTEN + ON + 'passphrase_file = "nothing"')
    assert 'enrolment.ca: new machines have nothing but a token; add "anonymous"' in problem(
        LISTEN + ON + '[authentication]\nchain = ["certificate"]\n'
    )
