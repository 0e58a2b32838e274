"""Bcfg2's `ip.xml` and `metadata.xml`."""

from __future__ import annotations

from pathlib import Path

import pytest

from anycore.access.bcfg2 import read_bcfg2
from anycore.access.matcher import Matcher
from anycore.access.model import AccessError
from anycore.kernel.call import ANONYMOUS, Identity, Peer
from anycore.kernel.policy import NO_OPINION

LOCAL = Peer.of_address(("127.0.0.1", 7))
CLIENT = Identity("www1.example.org", "certificate", frozenset({"web", "debian"}))
OTHER = Identity("db1.example.org", "certificate", frozenset({"db"}))


def matcher(tmp_path: Path, ip: str = "", metadata: str = "") -> Matcher:
    for name, text in (("ip.xml", ip), ("metadata.xml", metadata)):
        if text:
            (tmp_path / name).write_text(text)
    return Matcher([read_bcfg2(tmp_path)])


def peer(host: str) -> Peer:
    return Peer.of_address((host, 7))


IP = """<ACL>
  <Deny address="10.1.0.0" netmask="255.255.0.0" method="*.*"/>
  <Allow address="10.0.0.0" netmask="8" method="Get*"/>
  <Defer address="10.0.0.0" netmask="8" method="*"/>
  <Allow address="2001:db8::" netmask="32" method="GetProbes"/>
  <Deny address="192.0.2.7" method="*"/>
  <Allow address="192.0.2.0" netmask="24"/>
  <Allow method="public"/>
</ACL>
"""
METADATA = """<ACL>
  <Group name="web">
    <Allow method="GetDecisionList"/>
    <Client name="www2.example.org"><Allow method="*"/></Client>
  </Group>
  <Group name="db" negate="true"><Allow method="RecvStats"/></Group>
  <Deny method="Secret"/>
</ACL>
"""


def test_the_first_entry_by_address_decides(tmp_path: Path) -> None:
    rules = matcher(tmp_path, IP, METADATA)
    assert not rules.decide(CLIENT, peer("10.1.2.3"), "Plugin.method").allowed
    assert rules.decide(ANONYMOUS, peer("10.1.2.3"), "GetProbes").allowed  # * is one part, so *.* is not GetProbes
    assert rules.decide(ANONYMOUS, peer("10.9.9.9"), "GetConfig").allowed
    assert rules.decide(ANONYMOUS, peer("2001:db8::5"), "GetProbes").allowed
    assert not rules.decide(ANONYMOUS, peer("2001:db9::5"), "GetProbes").allowed
    assert not rules.decide(CLIENT, peer("192.0.2.7"), "RecvStats").allowed
    assert rules.decide(ANONYMOUS, peer("203.0.113.1"), "public").allowed
    assert not rules.decide(ANONYMOUS, peer("203.0.113.1"), "public.x").allowed
    assert "ip.xml:3: allow Get* to net:10.0.0.0/8" in rules.decide(ANONYMOUS, peer("10.9.9.9"), "GetConfig").reason


def test_an_address_that_denies_denies_before_anybody_is_known(tmp_path: Path) -> None:
    rules = matcher(tmp_path, IP, METADATA)
    assert rules.by_address
    denied = rules.admit(peer("192.0.2.7"), "RecvStats")
    assert denied is not None
    assert not denied.allowed
    assert rules.admit(peer("10.2.2.2"), "RecvStats") is None


def test_what_is_deferred_is_decided_by_groups_and_clients(tmp_path: Path) -> None:
    rules = matcher(tmp_path, IP, METADATA)
    far = peer("10.9.9.9")
    assert rules.decide(CLIENT, far, "RecvStats").allowed
    assert not rules.decide(OTHER, far, "RecvStats").allowed  # negated
    assert not rules.decide(CLIENT, far, "Secret").allowed
    assert not rules.decide(CLIENT, far, "unknown").allowed  # no match denies
    assert rules.decide(ANONYMOUS, LOCAL, "unknown").allowed  # but not on this machine
    second = Identity("www2.example.org", "certificate", frozenset({"web"}))
    assert rules.decide(second, far, "anything").allowed
    assert not rules.decide(Identity("www2.example.org", "certificate"), far, "anything").allowed  # not in the group


def test_ip_without_metadata(tmp_path: Path) -> None:
    rules = matcher(tmp_path, '<ACL><Deny address="10.0.0.0" netmask="8" method="*"/></ACL>')
    assert not rules.decide(CLIENT, peer("10.1.1.1"), "GetProbes").allowed
    assert rules.decide(CLIENT, peer("192.0.2.1"), "GetProbes").allowed
    assert rules.decide(ANONYMOUS, peer("192.0.2.1"), "GetProbes") is NO_OPINION


def test_metadata_without_ip(tmp_path: Path) -> None:
    rules = matcher(tmp_path, metadata=METADATA)
    assert rules.decide(CLIENT, peer("192.0.2.1"), "RecvStats").allowed
    assert not rules.decide(OTHER, peer("192.0.2.1"), "Secret").allowed


BOMB = '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><ACL><Allow method="&b;"/></ACL>'
FETCH = '<!DOCTYPE a SYSTEM "file:///etc/passwd"><ACL/>'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, r":1: a DOCTYPE is refused"),
        (FETCH, r":1: a DOCTYPE is refused"),
        ('<ACL>\n<Allow method="&a;"/></ACL>', r":2: column \d+: undefined entity"),
        ("<ACL>\n<Allow>", r":2: column \d+: no element found"),
        (
            '<ACL xmlns:xi="x">\n<xi:include href="/etc/passwd"/></ACL>',
            ":2: <xi:include>: inclusions and templates are not read",
        ),
        ("<a>" * 200 + "</a>" * 200, "nested deeper than 100"),
        ('<ACL>\n<Permit method="x"/></ACL>', ":2: <Permit>: expected Allow, Deny, Defer"),
        ('<ACL><Allow adress="x" method="x"/></ACL>', ":1: <Allow>: there is no attribute adress"),
        (
            '<ACL><Allow address="x" method="x"/></ACL>',
            ":1: 'x' does not appear to be an IPv4 or IPv6 network; write e.g.",
        ),
        ('<ACL><Allow address="10.0.0.0" netmask="99" method="x"/></ACL>', ":1: .*write e.g."),
        ('<ACL><Allow netmask="8" method="x"/></ACL>', ":1: netmask without an address"),
        ('<ACL><Allow method="a b"/></ACL>', ":1: method='a b': expected letters"),
        ('<ACL><Allow method="**"/></ACL>', r":1: method='\*\*': \*\* is not known here"),
    ],
)
def test_what_is_wrong_in_ip(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(AccessError, match=said):
        matcher(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('<ACL><Group><Allow method="x"/></Group></ACL>', ":1: <Group>: it has no name"),
        ('<ACL><Group name="x" negate="maybe"/></ACL>', ":1: negate='maybe': expected true or false"),
        ('<ACL><Defer method="x"/></ACL>', ":1: <Defer>: expected Allow, Deny, Group, Client"),
        ('<ACL><Allow address="10.0.0.1" method="x"/></ACL>', ":1: <Allow>: there is no attribute address"),
        (BOMB, "a DOCTYPE is refused"),
    ],
)
def test_what_is_wrong_in_metadata(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(AccessError, match=said):
        matcher(tmp_path, metadata=text)


def test_both_files_are_told_of_and_one_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(AccessError) as caught:
        matcher(tmp_path, "<ACL><X/></ACL>", "<ACL><Y/></ACL>")
    assert len(caught.value.problems) == 2
    with pytest.raises(AccessError, match=r"expected ip\.xml or metadata\.xml"):
        read_bcfg2(tmp_path / "nowhere")
