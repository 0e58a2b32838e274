"""Sockets that somebody else has opened, and the listeners that they are for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from anycore.server.errors import StartupError
from anycore.server.process.inherited import Inherited, Passed
from anycore.settings.tables import ListenSettings


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def port(bound: socket.socket) -> int:
    return int(bound.getsockname()[1])


def test_a_socket_is_found_by_its_address_by_its_name_and_by_the_url_of_its_listener(bound: socket.socket) -> None:
    passed = Passed("web", bound)
    by_address = ListenSettings(url=f"https://127.0.0.1:{port(bound)}")
    by_name = ListenSettings(url="http://127.0.0.1:1", socket_name="web")
    for settings in (by_address, by_name):
        inherited = Inherited([passed], "systemd")
        assert inherited.take(settings) is passed
        assert inherited.take(settings) is None
        inherited.finish()
    any_port = ListenSettings(url="http://127.0.0.1:0")
    assert Inherited([Passed("http://127.0.0.1:0", bound)]).take(any_port) is not None
    assert Inherited([passed]).take(any_port) is None


def test_a_unix_socket_is_found_by_its_path(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "s"))
        inherited = Inherited([Passed("", bound)])
        assert inherited.take(ListenSettings(url=f"unix+rpyc://{tmp_path}/other")) is None
        assert inherited.take(ListenSettings(url=f"unix+rpyc://{tmp_path}/s")) is not None


def test_one_without_a_listener_is_refused_where_systemd_has_opened_it(bound: socket.socket) -> None:
    with pytest.raises(
        StartupError,
        match=rf"systemd passed a socket for which there is no listener: web at 127\.0\.0\.1 port {port(bound)}; add a",
    ):
        Inherited([Passed("web", bound)], "systemd").finish()
    assert bound.fileno() == -1


def test_one_that_the_server_before_had_is_closed(bound: socket.socket) -> None:
    Inherited([Passed("http://127.0.0.1:1", bound)]).finish()
    assert bound.fileno() == -1


def test_a_name_does_not_lead_a_network_to_a_listener_without_tls() -> None:
    with socket.create_server(("0.0.0.0", 0)) as bound:
        inherited = Inherited([Passed("web", bound)], "systemd")
        with pytest.raises(
            StartupError, match=r"can be reached from other machines, and the listener http://127\.0\.0\.1:1"
        ):
            inherited.take(ListenSettings(url="http://127.0.0.1:1", socket_name="web"))
