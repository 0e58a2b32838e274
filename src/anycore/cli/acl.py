"""`anycore acl`: what the rules of a configuration say, and whether they say what they should. No server is asked."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import click

from anycore.cli.commands import Commands
from anycore.cli.exits import Exit
from anycore.cli.failures import Failure
from anycore.cli.options import SettingsCommand, load, settings_options
from anycore.cli.text import printable

if TYPE_CHECKING:
    from anycore.access.matcher import Matcher
    from anycore.access.questions import Question
    from anycore.kernel.call import Identity
    from anycore.settings.tables import Settings


_store = click.option(
    "--store", metavar="URL", help="The store of the server, with its groups.  [default: as configured]"
)


@click.group(cls=Commands)
def acl() -> None:
    """Explain and test who may call, read and write what.

    The rules are those of the configuration, as a server would read them, and where they name groups, those of the store count as well, if
    it is there. Policies of plugins are not asked.
    """


@acl.command(cls=SettingsCommand)
@click.argument("identity")
@click.argument("method")
@click.option(
    "--from", "address", metavar="ADDRESS", default="", help="Where the call comes from.  [default: this machine]"
)
@click.option("--at", "moment", metavar="TIME", default="", help="When, as in 2027-01-31T18:00:00Z.  [default: now]")
@_store
@settings_options("access")
def explain(identity: str, method: str, address: str, moment: str, config: str | None, **options: Any) -> None:
    """Say which rule decides whether somebody may call a method, and why.

    IDENTITY is anonymous, a name, or what is known of somebody: user:bob,group:ops,dn:/DC=org/CN=Bob. METHOD is a method's full name,
    read:/PATH, write:/PATH, or attribute:PLUGIN.CLASS.NAME. Each rule that is about METHOD is shown, up to the one that decides.

    The command ends with 1 where the answer is no.
    """
    from anycore.access.explain import explain as explain_question
    from anycore.access.questions import read_question

    try:
        question = read_question(identity, method, address, moment)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    now = _clock(question)
    with _matcher(config, options, lambda: now) as matcher:
        found = explain_question(matcher, question, now)
    _say(str(question))
    _say(f"is: {', '.join(found.subjects)}")
    for name, steps, others in found.sets:
        _say(f"{name}:")
        for step in steps:
            _say(f"  {step.rule}: {step.outcome}")
        if others:
            _say(f"  {others} {'rule is' if others == 1 else 'rules are'} about something else")
    if found.early:
        _say("the address alone decides: nobody there is asked who he is")
    _say(f"{'allowed' if found.decision.allowed else 'denied'}: {found.decision.reason}")
    if not found.decision.allowed:
        raise click.exceptions.Exit(Exit.FAULT)


@acl.command(cls=SettingsCommand)
@click.argument("file")
@_store
@settings_options("access")
def test(file: str, config: str | None, **options: Any) -> None:
    """Compare the rules with a table of expectations.

    Each line of FILE is: allow|deny IDENTITY METHOD [from ADDRESS] [at TIME], with IDENTITY and METHOD as for anycore acl explain. What
    follows a # is left out.

    The command ends with 1 when an expectation is not met.
    """
    from anycore.access.model import AccessError
    from anycore.access.questions import read_expectations

    try:
        expectations = read_expectations(Path(file))
    except AccessError as error:
        raise Failure(str(error), Exit.CONFIGURATION) from error
    now = [0.0]
    failed = 0
    with _matcher(config, options, lambda: now[0]) as matcher:
        for expected in expectations:
            now[0] = _clock(expected.question)
            decision = expected.question.ask(matcher)
            if decision.allowed is not expected.allowed:
                failed += 1
                said = "allowed" if decision.allowed else "denied"
                _say(f"{expected.where}: {expected.question}: {said}, by {decision.reason}")
    _say(f"{len(expectations) - failed} of {len(expectations)} expectations are met")
    if failed:
        raise click.exceptions.Exit(Exit.FAULT)


def _clock(question: Question) -> float:
    return time.time() if question.at is None else question.at.timestamp()


@contextlib.contextmanager
def _matcher(config: str | None, options: dict[str, Any], clock: Callable[[], float]) -> Iterator[Matcher]:
    """Read the rules; yields them while the store is open, if they need it."""
    from anycore.access.matcher import Matcher
    from anycore.access.model import AccessError
    from anycore.server.access import DEFAULTS
    from anycore.settings.access import sources_of
    from anycore.settings.store import store_url

    options["server__store"] = options.pop("store")
    settings = load(config, options, sections=("access", "server", "groups"))
    try:
        matcher = Matcher(sources_of(settings).read(), default=DEFAULTS[settings.access.default], clock=clock)
    except AccessError as error:
        raise Failure(str(error), Exit.CONFIGURATION) from error
    with contextlib.ExitStack() as stack:
        if matcher.by_group and _is_there(store_url(settings)):
            matcher.groups_of = _groups(settings, stack)
        yield matcher


def _groups(settings: Settings, stack: contextlib.ExitStack) -> Callable[[Identity], frozenset[str]]:
    from anycore.access.groups.lookup import GroupLookup
    from anycore.server.sessions import groups_of
    from anycore.settings.store import store_url
    from anycore.store import StoreError, open_store

    try:
        store = stack.enter_context(open_store(store_url(settings)))
    except StoreError as error:
        raise Failure(str(error), Exit.CONFIGURATION) from error
    return GroupLookup(groups_of(settings, lambda: store))


def _is_there(url: str) -> bool:
    """Tell whether there is a store: to explain rules must not make one."""
    path = unquote(url.partition(":")[2].partition("?")[0])
    return bool(path) and Path(path).exists()


def _say(text: str) -> None:
    click.echo(printable(text))
