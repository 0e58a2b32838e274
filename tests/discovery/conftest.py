"""A clock that goes when told, and a registry on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from anycore.discovery import LeaseTable, RegistryServer, RegistryService


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve() -> Iterator[Callable[..., RegistryServer]]:
    """Start registries on loopback; they are stopped at the end."""
    with ExitStack() as stack:

        def start(
            *modes: str, table: LeaseTable | None = None, listing: bool = True, on_change: Any = None, **options: Any
        ) -> RegistryServer:
            service = RegistryService(LeaseTable() if table is None else table, listing=listing, on_change=on_change)
            made = RegistryServer(service, **{"modes": modes or ("udp",), "host": "127.0.0.1", "port": 0, **options})
            server = stack.enter_context(made)
            server.start()
            return server

        yield start
