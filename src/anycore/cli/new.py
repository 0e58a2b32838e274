"""`anycore new`: files to start from."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from anycore.cli.commands import Commands
from anycore.cli.exits import Exit
from anycore.cli.failures import Failure
from anycore.cli.templates import plugin_source, test_source
from anycore.services import NAMES


@click.group(cls=Commands)
def new() -> None:
    """Make something new to start from."""


@new.command()
@click.argument("name")
@click.option(
    "-d", "--directory", default=".", metavar="DIR", type=click.Path(file_okay=False), help="Where to.  [default: here]"
)
def plugin(name: str, directory: str) -> None:
    """Write NAME.py, a plugin that works, and test_NAME.py, its test.

    Nothing is overwritten.
    """
    _check_name(name)
    folder = Path(directory)
    files = {folder / f"{name}.py": plugin_source(name), folder / f"test_{name}.py": test_source(name)}
    present = [str(path) for path in files if path.exists()]
    if present:
        raise Failure(f"already there: {', '.join(present)}; choose another name, or remove what is there", Exit.USAGE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            click.echo(f"wrote {path}")
    except OSError as error:
        raise Failure(
            f"cannot write to {folder}: {error.strerror}; choose another directory with -d", Exit.USAGE
        ) from error
    click.echo(f"serve it:  anycore serve {folder / name}.py --reload")
    click.echo(f"test it:   python -m pytest {folder / f'test_{name}.py'}")
    if find_spec("pytest") is None:
        click.echo("           pytest is not installed here; first: python -m pip install pytest")


def _check_name(name: str) -> None:
    reason = ""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        wanted = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_0123456789")
        hint = f", such as {wanted}" if wanted and not keyword.iskeyword(wanted) else ""
        reason = f"expected lower-case letters, digits and underscores, beginning with a letter, and no keyword{hint}"
    elif name == "anycore" or name in NAMES:
        reason = "a server has a plugin or package of that name already; choose another"
    elif name in sys.stdlib_module_names:
        reason = (
            f"Python has a module of that name, which the test would find instead; choose another, such as my_{name}"
        )
    elif name.startswith("test_"):
        reason = "files that start with test_ are tests, which are not served; choose another"
    if reason:
        message = f"{name!r}: {reason}"
        raise click.BadParameter(message, param_hint="NAME")
