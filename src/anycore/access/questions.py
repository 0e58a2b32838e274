"""Questions about access as people write them, for `anycore acl`: who, what, from where, when."""

from __future__ import annotations

import re
import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from anycore.access.model import AccessError, Kind
from anycore.access.paths import PathRefusedError, normalise
from anycore.access.subjects import NAMES, parse_address
from anycore.kernel.call import ANONYMOUS, Identity, Peer
from anycore.kernel.policy import NO_OPINION, Decision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anycore.access.matcher import Matcher

_PIECES: Final = re.compile(rf",(?=(?:user|group|kind|dn|{'|'.join(NAMES)}):)")
_WHAT: Final = re.compile(r"(read|write|attribute):(.*)\Z", re.DOTALL)
_VERBS: Final = {Kind.CALL: "call", Kind.READ: "read", Kind.WRITE: "write", Kind.ATTRIBUTE: "reach"}
_LINE: Final = "allow|deny IDENTITY METHOD [from ADDRESS] [at TIME]"


class Question(msgspec.Struct, frozen=True):
    """May somebody do something?

    Args:
        identity: Who.
        kind: What is to be done.
        name: A method's full name, a path in its normal form, or an attribute.
        peer: From where.
        at: When; None for now.
    """

    identity: Identity
    kind: Kind
    name: str
    peer: Peer = Peer()
    at: datetime | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The name as rules are asked about it."""
        return (self.name.removeprefix("/"),)

    def ask(self, matcher: Matcher) -> Decision:
        """Return the decision, the default's where no rule has an opinion.

        Args:
            matcher: The rules, with a clock that shows the time of the question.
        """
        if self.kind is Kind.ATTRIBUTE:
            return matcher.decide_attribute(self.identity, self.peer, self.names)
        if self.kind is Kind.CALL:
            found = matcher.decide(self.identity, self.peer, self.name)
        else:
            found = matcher.decide_file(self.identity, self.peer, self.name, write=self.kind is Kind.WRITE)
        return matcher.default(self.peer) if found is NO_OPINION else found

    def __str__(self) -> str:
        where = self.peer.host or "this machine"
        when = f" at {self.at.isoformat()}" if self.at is not None else ""
        return f"{self.identity.name} ({self.identity.kind}) from {where}{when}: {_VERBS[self.kind]} {self.name}"


class Expectation(msgspec.Struct, frozen=True):
    """What the answer to a question should be.

    Args:
        question: The question.
        allowed: The answer.
        where: Where it is written: `expected.acl:3`.
    """

    question: Question
    allowed: bool
    where: str


def read_identity(text: str) -> Identity:
    """Return the identity that somebody describes: `anonymous`, a name, or subjects with commas between.

    Args:
        text: As in `bob` or `user:bob,group:ops,dn:/DC=org/CN=Bob`.

    Raises:
        ValueError: When it is none.
    """
    if text in ("anonymous", "kind:anonymous"):
        return ANONYMOUS
    name = kind = dn = ""
    groups: list[str] = []
    names: list[str] = []
    for piece in _PIECES.split(text):
        what, colon, value = piece.partition(":")
        if not colon:
            name = piece
        elif not value or what not in ("user", "group", "kind", "dn", *NAMES):
            message = f"{text!r} is no identity; write anonymous, a name, or e.g. user:bob,group:ops,dn:/DC=org/CN=Bob"
            raise ValueError(message)
        elif what == "group":
            groups.append(value)
        elif what in NAMES:
            names.append(piece)
        else:
            name = value if what == "user" else name
            kind = value if what == "kind" else kind
            dn = value if what == "dn" else dn
    shown = name or next((one.partition(":")[2] for one in names), "") or dn or "somebody"
    return Identity(shown, kind or ("certificate" if dn or names else "password"), frozenset(groups), dn, tuple(names))


def read_question(who: str, what: str, where: str = "", when: str = "") -> Question:
    """Return a question.

    Args:
        who: An identity; see `read_identity`.
        what: A method's full name, `read:/path`, `write:/path`, or `attribute:plugin.Class.name`.
        where: An address; this machine where it is empty.
        when: A time in ISO 8601, with its zone; now where it is empty.

    Raises:
        ValueError: When something of it makes no sense; the message says what.
    """
    found = _WHAT.match(what)
    kind = Kind(found[1]) if found is not None else Kind.CALL
    name = found[2] if found is not None else what
    if kind in (Kind.READ, Kind.WRITE):
        try:
            name = normalise(name)
        except PathRefusedError as error:
            raise ValueError(str(error)) from error
    elif what.startswith("/"):
        message = f"{what} is a path; write read:{what} or write:{what}"
        raise ValueError(message)
    peer = Peer()
    if where:
        if parse_address(where) is None:
            message = f"{where!r} is no address; write e.g. 10.0.0.7 or 2001:db8::1"
            raise ValueError(message)
        peer = Peer.of_address((where, 0))
    return Question(read_identity(who), kind, name, peer, _moment(when))


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        message = f"{text!r} is no time with a zone; write e.g. 2027-01-31T18:00:00Z"
        raise ValueError(message)
    return found


def read_expectations(path: Path) -> list[Expectation]:
    """Read a table of expectations: one in a line, empty lines and what follows a `#` left out.

    Args:
        path: The table.

    Raises:
        AccessError: With all that is wrong.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AccessError([f"{path}: cannot be read: {error}; check the path"]) from error
    problems: list[str] = []
    found = list(_expectations(path, lines, problems))
    if not found and not problems:
        problems.append(f"{path}: there is no expectation in it; write e.g. allow bob thermostat.set from 10.0.0.7")
    if problems:
        raise AccessError(problems)
    return found


def _expectations(path: Path, lines: list[str], problems: list[str]) -> Iterator[Expectation]:
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        try:
            words = shlex.split(line, comments=True)
            if not words:
                continue
            options = dict(zip(words[3::2], words[4::2], strict=True))
            if len(words) < 3 or words[0] not in ("allow", "deny") or set(options) - {"from", "at"}:
                message = f"expected {_LINE}"
                raise ValueError(message)
            question = read_question(words[1], words[2], options.get("from", ""), options.get("at", ""))
            yield Expectation(question, words[0] == "allow", where)
        except ValueError as error:
            said = f"expected {_LINE}" if "zip()" in str(error) else str(error)
            problems.append(f"{where}: {said}")
