"""`anycore store`: look into a store, change it, move it, and keep it in order."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import click

from anycore.cli.commands import Commands
from anycore.cli.exits import Exit
from anycore.cli.failures import Failure
from anycore.cli.store_options import store_of, store_options

if TYPE_CHECKING:
    from anycore.store import Store

_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(\\))")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_namespace_argument = click.argument("namespace")
_key_argument = click.argument("key")


@click.group(cls=Commands)
def store() -> None:
    r"""Look into the store of a server, change it, move it, keep it in order.

    It has sessions, tokens, groups, and what plugins keep; the server may be running. A store has namespaces, each of which has keys of its
    own; an empty name ("") means the keys that are in none. What cannot be printed of a key is written \xNN, and is so understood; a
    backslash is \\.
    """


@store.command("ls")
@click.argument("namespace", required=False)
@click.option("--prefix", default="", metavar="KEY", help="Only keys that begin like this.")
@click.option(
    "-l", "--long", is_flag=True, help="Also the bytes of each value and the seconds that it has left to live."
)
@store_options
def list_keys(namespace: str | None, prefix: str, *, long: bool, config: str | None, store: str | None) -> None:
    """List the keys of a namespace; without one, the namespaces with how many keys and bytes they have."""
    with store_of(config, store) as (_, found):
        if namespace is None:
            for name, (keys, size) in _namespaces(found).items():
                click.echo(f"{keys:>10,} {size:>14,}  {name}")
            return
        with found.transaction(write=False) as transaction:
            before = _full(namespace, b"")
            for key, size in transaction.sizes(before + _bytes(prefix)):
                if (namespace or _in_none(key)) and transaction.get(key) is not None:
                    left = transaction.ttl(key)
                    about = f"{size:>12,} {'-' if left is None else f'{left:.0f}':>10}  " if long else ""
                    click.echo(about + _text(key[len(before) :]))


@store.command()
@_namespace_argument
@_key_argument
@click.option(
    "--json", "as_json", is_flag=True, help="Print it as JSON. It must be MessagePack, as what Anycore keeps is."
)
@store_options
def get(namespace: str, key: str, *, as_json: bool, config: str | None, store: str | None) -> None:
    """Print a value: its bytes, and nothing else."""
    with store_of(config, store) as (_, found):
        value = found.get(_full(namespace, _bytes(key)))
    if value is None:
        raise _missing(namespace, [key])
    if as_json:
        click.echo(_decoded(value))
    else:
        click.echo(value, nl=False)


@store.command()
@_namespace_argument
@_key_argument
@click.argument("value", required=False)
@click.option(
    "--ttl", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="The key is gone after this time."
)
@store_options
def put(namespace: str, key: str, value: str | None, ttl: float | None, config: str | None, store: str | None) -> None:
    """Give a key a value: the argument, or else what standard input has, byte for byte."""
    given = sys.stdin.buffer.read() if value is None else value.encode(errors="surrogateescape")
    with _part(config, store, namespace) as part:
        part.put(_bytes(key), given, ttl=ttl)


@store.command()
@_namespace_argument
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@store_options
def rm(namespace: str, keys: tuple[str, ...], config: str | None, store: str | None) -> None:
    """Remove keys, all of them in one step."""
    with _part(config, store, namespace) as part, part.transaction() as transaction:
        missing = [key for key in keys if not transaction.delete(_bytes(key))]
    if missing:
        raise _missing(namespace, missing)


@store.command()
@click.argument("file", type=click.File("wb"), default="-")
@store_options
def dump(file: IO[bytes], config: str | None, store: str | None) -> None:
    """Write all of the store as lines of JSON, as it is at this moment, to FILE or to standard output."""
    from anycore.store.dump import dump as lines

    with store_of(config, store) as (_, found):
        for line in lines(found):
            file.write(line)


@store.command()
@click.argument("file", type=click.File("rb"), default="-")
@store_options
def load(file: IO[bytes], config: str | None, store: str | None) -> None:
    """Read what `dump` has written, from FILE or from standard input. Keys that are there already are replaced, others stay."""
    from anycore.store.dump import load as read

    with store_of(config, store) as (_, found):
        click.echo(f"{read(found, file):,} keys loaded")


@store.command()
@store_options
def compact(config: str | None, store: str | None) -> None:
    """Give the room of removed keys back to the disk. The server must be stopped."""
    from anycore.store.lmdb.maintenance import compact as write_anew
    from anycore.store.lmdb.store import LmdbStore

    with store_of(config, store) as (_, found):
        path = found.path if isinstance(found, LmdbStore) else None
        found.expire()
    if path is not None:
        with _failing():
            before, after = write_anew(path)
        click.echo(f"{before:,} bytes before, {after:,} after")


@store.command()
@store_options
def check(config: str | None, store: str | None) -> None:
    """Read all of the store, see whether it fits together, and print its figures. The server may be running."""
    from anycore.store.lmdb.maintenance import check as find_problems
    from anycore.store.lmdb.store import LmdbStore

    with store_of(config, store) as (_, found):
        problems = find_problems(found) if isinstance(found, LmdbStore) else []
        for name, figure in found.figures().items():
            click.echo(f"{name.replace('_', ' '):14}{figure:>22,}")
    if problems:
        raise Failure("\n".join(problems), Exit.FAULT)


@contextmanager
def _failing() -> Iterator[None]:
    from anycore.store import StoreError

    try:
        yield
    except StoreError as error:
        raise Failure(str(error), Exit.CONFIGURATION) from error


@contextmanager
def _part(config: str | None, store: str | None, name: str) -> Iterator[Store]:
    from anycore.store import namespace

    with store_of(config, store) as (_, found):
        yield namespace(found, name) if name else found


def _namespaces(store: Store) -> dict[str, tuple[int, int]]:
    from anycore.store.usage import OWN

    found: dict[str, tuple[int, int]] = {}
    with store.transaction(write=False) as transaction:
        for key, size in transaction.sizes():
            if not key.startswith(OWN):
                name = _namespace(key)
                keys, total = found.get(name, (0, 0))
                own = len(key) - (len(name) + 1 if name else 0)
                found[name] = (keys + 1, total + own + size)
    return found


def _namespace(key: bytes) -> str:
    from anycore.store.dump import split

    return split(key)[0]


def _in_none(key: bytes) -> bool:
    from anycore.store.usage import OWN

    return not (_namespace(key) or key.startswith(OWN))


def _full(namespace: str, key: bytes) -> bytes:
    return namespace.encode(errors="surrogateescape") + b"\0" + key if namespace else key


def _bytes(text: str) -> bytes:
    """Return the key that was typed."""
    return _ESCAPE.sub(
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"\\", text.encode(errors="surrogateescape")
    )


def _text(key: bytes) -> str:
    """Return a key as it can be typed."""
    text = key.replace(b"\\", b"\\\\").decode(errors="backslashreplace")
    return _CONTROL.sub(lambda found: "".join(f"\\x{byte:02x}" for byte in found[0].encode()), text)


def _decoded(value: bytes) -> str:
    import msgspec

    from anycore.cli.output import as_json

    try:
        return as_json(msgspec.msgpack.decode(value))
    except msgspec.DecodeError as error:
        message = f"the value is no MessagePack: {error}; leave out --json to have it as it is"
        raise Failure(message, Exit.FAULT) from error


def _missing(namespace: str, keys: list[str]) -> Failure:
    return Failure(
        f"there is no key {', '.join(keys)} in {namespace!r}; `anycore store ls` lists those there are", Exit.FAULT
    )
