"""Virtual paths: one form, no way up, no way out by a link."""

from __future__ import annotations

from pathlib import Path

import pytest

from anycore.access.matcher import Matcher
from anycore.access.model import Effect, Kind, Rule, RuleSet
from anycore.access.paths import PathRefusedError, normalise, resolve
from anycore.kernel.call import ANONYMOUS, Peer

FAR = Peer.of_address(("192.0.2.1", 7))


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/a/", "/a"),
        ("/a//b/./c", "/a/b/c"),
        ("/.", "/"),
        ("/..a/b..", "/..a/b.."),
        ("/\u00e9", "/\u00e9"),
    ],
)
def test_one_form(path: str, wanted: str) -> None:
    assert normalise(path) == wanted


TRICKS = [
    "", "a", "../a", "/..", "/a/../b", "/a/..", "/a/./../b", "/..//..", "/a\0", "/a\0/../b", "\0/a", "/" + "a/" * 3000, "/\udcff", "./a",
    "\\a", "/a/../../etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("path", TRICKS)
def test_tricks_are_refused_and_never_judged(path: str, tmp_path: Path) -> None:
    with pytest.raises(PathRefusedError, match="is refused"):
        normalise(path)
    with pytest.raises(PathRefusedError, match="is refused"):
        resolve(tmp_path, path)
    everything = Rule(effect=Effect.ALLOW, kind=Kind.READ, patterns=("/",), to=("*",))
    decision = Matcher([RuleSet(name="", sections=((everything,),))]).decide_file(ANONYMOUS, Peer(), path, write=False)
    assert not decision.allowed
    assert "is refused" in decision.reason


def files(**rules: str) -> Matcher:
    made = [
        Rule(
            effect=Effect(name.split("_")[0]),
            kind=Kind(name.split("_")[1]),
            patterns=tuple(patterns.split()),
            to=("*",),
        )
        for name, patterns in rules.items()
    ]
    return Matcher([RuleSet(name="", sections=(tuple(made),))])


def test_reading_and_writing_are_apart() -> None:
    matcher = files(deny_read="/pub/secret", allow_read="/pub /home/*/out", allow_write="/in/**/drop")

    def may(path: str, write: bool) -> bool:
        return matcher.decide_file(ANONYMOUS, FAR, path, write=write).allowed

    assert may("/pub", False)
    assert may("/pub/a/b", False)
    assert may("/pub//a/./b/", False)
    assert not may("/pub", True)
    assert not may("/pub/secret/x", False)
    assert not may("/pub//./secret", False)
    assert not may("/public", False)
    assert may("/home/ada/out/x", False)
    assert not may("/home/ada/b/out", False)
    assert may("/in/drop", True)
    assert may("/in/a/b/drop/c", True)
    assert not may("/in/drop", False)
    assert not may("/", False)


def test_the_default_holds_where_no_rule_does() -> None:
    matcher = files(allow_read="/pub")
    assert matcher.decide_file(ANONYMOUS, Peer(), "/x", write=True).allowed
    assert not matcher.decide_file(ANONYMOUS, FAR, "/x", write=False).allowed


def test_links_are_followed_before_rules_are_asked(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "pub").mkdir(parents=True)
    (root / "secret").mkdir()
    (root / "secret" / "key").write_text("k")
    (root / "pub" / "inside").symlink_to("../secret")
    (root / "pub" / "direct").symlink_to("../secret/key")
    (root / "pub" / "out").symlink_to(tmp_path)
    (root / "pub" / "absolute").symlink_to("/etc/passwd")
    (root / "pub" / "loop").symlink_to("loop")
    (root / "pub" / "self").symlink_to("../../root")
    (root / "up").symlink_to("..")

    assert resolve(root, "/pub/inside/key") == (root.resolve() / "secret" / "key", "/secret/key")
    assert resolve(root, "/pub/direct")[1] == "/secret/key"
    assert resolve(root, "/pub/new/file")[1] == "/pub/new/file"
    assert resolve(root, "/pub/self") == (root.resolve(), "/")
    for path in ("/pub/out", "/pub/out/x", "/pub/absolute", "/up", "/up/root/secret/key"[:3]):
        with pytest.raises(PathRefusedError, match="leads out of the root"):
            resolve(root, path)
    with pytest.raises(PathRefusedError, match="in a circle"):
        resolve(root, "/pub/loop")

    matcher = files(allow_read="/pub")
    found = resolve(root, "/pub/inside/key")[1]
    assert matcher.decide_file(ANONYMOUS, FAR, "/pub/inside/key", write=False).allowed
    assert not matcher.decide_file(ANONYMOUS, FAR, found, write=False).allowed
