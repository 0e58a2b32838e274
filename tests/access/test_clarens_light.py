"""ClarensLight's INI files."""

from __future__ import annotations

from pathlib import Path

import pytest

from anycore.access.clarens_light import read_light, services
from anycore.access.matcher import Matcher
from anycore.access.model import AccessError
from anycore.kernel.call import ANONYMOUS, Identity, Peer
from anycore.kernel.policy import NO_OPINION

FAR = Peer.of_address(("192.0.2.1", 7))
ALICE = Identity("alice", "certificate", frozenset(), "/DC=org/OU=good/CN=alice")
BOB = Identity("bob", "certificate", frozenset(), "/DC=com/CN=bob")


def test_a_method_goes_by_its_section_and_others_by_the_default(tmp_path: Path) -> None:
    path = tmp_path / "echo.ini"
    path.write_text(
        "[DEFAULT]\ndn_allowed = /DC=org\n[say]\n[reset]\ndn_allowed = /DC=com\n  /DC=net\n[nobody]\ndn_allowed =\n"
    )
    rules = Matcher([read_light(path, "echo")])

    def may(who: Identity, method: str) -> bool:
        return rules.decide(who, FAR, method).allowed

    assert (may(ALICE, "echo.say"), may(BOB, "echo.say")) == (True, False)
    assert (may(ALICE, "echo.reset"), may(BOB, "echo.reset")) == (False, True)
    assert (may(ALICE, "echo.nobody"), may(BOB, "echo.nobody")) == (False, False)
    assert (may(ALICE, "echo.other"), may(BOB, "echo.other")) == (True, False)
    assert not may(ANONYMOUS, "echo.say")
    assert rules.decide(ALICE, FAR, "other.say") is NO_OPINION


def test_everybody_who_can_log_in(tmp_path: Path) -> None:
    path = tmp_path / "echo.ini"
    path.write_text("[DEFAULT]\ndn_allowed = /\n")
    rules = Matcher([read_light(path, "echo")])
    assert rules.decide(Identity("pat", "password"), FAR, "echo.x").allowed
    assert not rules.decide(ANONYMOUS, FAR, "echo.x").allowed


def test_services_are_found_in_the_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "100%"
    folder.mkdir()
    (folder / "clarens.ini").write_text(
        "[Service:echo]\nname = echo\nmodule = a.b\naccess_file = %(configdir)s/echo.ini\n"
        "[Service:pi]\naccess_file = pi.ini\n[Other]\nx = %(nothing)s\n"
    )
    assert services(folder / "clarens.ini") == [("echo", folder / "echo.ini"), ("pi", folder / "pi.ini")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[DEFAULT]\ndn_alowed = /", r"\[DEFAULT\]: dn_alowed: there is no such key"),
        ("[say]\ndn_allowed = DC=org", r"\[say\]: dn_allowed: expected the beginning"),
        ("[a b]\n", r"\[a b\]: expected the name of a method"),
        ("[*]\n", r"\[\*\]: expected the name of a method"),
        ("nonsense", "correct the INI file"),
        ("[a]\n[a]\n", "correct the INI file"),
    ],
)
def test_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "echo.ini"
    path.write_text(text)
    with pytest.raises(AccessError, match=said):
        read_light(path, "echo")


def test_a_service_without_an_access_file(tmp_path: Path) -> None:
    path = tmp_path / "clarens.ini"
    path.write_text("[Service:echo]\nmodule = x\n")
    with pytest.raises(AccessError, match="names no access_file"):
        services(path)
    with pytest.raises(AccessError, match="cannot be read"):
        services(tmp_path / "missing")
