"""The files that rules come from, read together."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from anycore.access.model import AccessError
from anycore.access.sources import Sources

ACCESS = "access = [('', [0, ['/'], [], [], []])]\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return name


def test_no_files_are_no_rules() -> None:
    assert Sources().read() == []
    assert Sources().stamps() == {}
    assert Sources(main=write("a.toml", "[server]\n"), settings=("default",)).read() == []


def test_rules_of_the_file_for_rules_follow_those_of_the_configuration() -> None:
    main = write(
        "a.toml",
        '[access]\ndefault = "deny"\n[access.groups]\nx = ["local"]\n[[access.rule]]\nallow = ["a"]\nto = ["*"]\n',
    )
    file = write("b.toml", '[access.groups]\ny = ["group:x"]\n[[access.rule]]\ndeny = ["b"]\nto = ["group:y"]\n')
    (rules,) = Sources(main=main, settings=("default",), file=file).read()
    assert [rule.where for rule in rules.sections[0]] == ["a.toml:5", "b.toml:3"]
    assert set(rules.groups) == {"x", "y"}
    write("b.toml", '[access.groups]\nx = ["local"]\n[[access.rule]]\ndeny = ["b"]\nto = ["group:x"]\n')
    with pytest.raises(AccessError, match=r"b\.toml: access\.groups\.x: a\.toml has it too"):
        Sources(main=main, settings=("default",), file=file).read()


def test_services_in_a_folder_a_service_a_file_and_clarens_light() -> None:
    write("services/echo/.clarens_access", ACCESS)
    write("services/pi/.clarens_access", ACCESS)
    write("services/pi/deep/.clarens_access", ACCESS)
    write("one/.clarens_access", ACCESS)
    write("light.ini", "[Service:shell]\naccess_file = shell-access.ini\n")
    write("shell-access.ini", "[DEFAULT]\ndn_allowed = /\n")
    write("file.ini", "[DEFAULT]\ndn_allowed = /\n")
    sources = Sources(clarens=("services", "one/.clarens_access", "light.ini", "file.ini"))
    found = [section[0].patterns for rules in sources.read() for section in rules.sections]
    assert found == [("echo",), ("pi",), ("one",), ("shell",), ("file",)]
    assert {"shell-access.ini", "light.ini", "services/echo/.clarens_access", "services"} <= set(sources.stamps())
    assert Path("services/echo") in sources.folders()


def test_a_folder_without_services_is_refused() -> None:
    Path("empty").mkdir()
    with pytest.raises(AccessError, match=r"there is no \.clarens_access in it"):
        Sources(clarens=("empty",)).read()


def test_all_that_is_wrong_anywhere_is_told_at_once() -> None:
    main = write("a.toml", "[[access.rule]]\n")
    write("services/echo/.clarens_access", "import os")
    write("services/pi/.clarens_access", "import sys")
    write("ACL/ip.xml", "<")
    with pytest.raises(AccessError) as caught:
        Sources(main=main, settings=("default",), file="missing.toml", clarens=("services",), bcfg2="ACL").read()
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "a.toml", "a.toml", "missing.toml", "services/echo/.clarens_access", "services/pi/.clarens_access", "ACL/ip.xml",
    ]  # fmt: skip


def test_stamps_show_what_changes_comes_and_goes() -> None:
    sources = Sources(main=write("a.toml", ""), settings=("default",), clarens=(str(Path("s")),), bcfg2="ACL")
    seen = [sources.stamps()]
    for name, text in (
        ("a.toml", "#"),
        ("ACL/ip.xml", "<a/>"),
        ("s/echo/.clarens_access", ACCESS),
        ("s/pi/.clarens_access", ACCESS),
    ):
        write(name, text)
        seen.append(sources.stamps())
    Path("s/pi/.clarens_access").unlink()
    seen.append(sources.stamps())
    assert all(one != other for one, other in itertools.pairwise(seen))


def test_what_is_not_there_is_refused_with_the_key_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r"access\.clarens: .*nope: there is no such file or directory"):
        Sources(clarens=(str(tmp_path / "nope"),)).read()
