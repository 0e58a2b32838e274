"""What the commands share that look into the store of a server: the options that say which, and how it is opened."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from anycore.cli.exits import Exit
from anycore.cli.failures import Failure

if TYPE_CHECKING:
    from anycore.settings.tables import Settings
    from anycore.store import Store

_F = TypeVar("_F", bound=Callable[..., Any])


def store_options(command: _F) -> _F:
    """Give a command the options `-c` and `--store`."""
    config = click.option(
        "-c",
        "--config",
        metavar="FILE",
        help="The configuration file of the server.  [default: $ANYCORE_CONFIG, or anycore.toml if there is one]",
    )
    store = click.option("--store", metavar="URL", help="The store of the server.  [default: as configured]")
    return config(store(command))


@contextlib.contextmanager
def store_of(config: str | None, store: str | None, *sections: str) -> Iterator[tuple[Settings, Store]]:
    """Open the store of a server; yields its settings and the store.

    Args:
        config: What `-c` gave.
        store: What `--store` gave.
        *sections: The tables of the configuration that matter, besides those of the store.

    Raises:
        Failure: When a setting is wrong, or the store cannot be opened.
    """
    from anycore.cli.options import load
    from anycore.settings.store import store_url
    from anycore.store import StoreError, open_store

    settings = load(config, {"server__store": store}, sections=("server", "store", *sections))
    try:
        with open_store(store_url(settings)) as found:
            yield settings, found
    except StoreError as error:
        raise Failure(str(error), Exit.CONFIGURATION) from error
