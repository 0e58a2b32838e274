from __future__ import annotations

import logging
import socket
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from anycore.cores.base import Listener
from anycore.server import certificates
from anycore.server.certificates import Certificates
from anycore.server.tls import tls_context
from anycore.settings.tables import ListenSettings
from anycore.testing.certificate import CERTIFICATE, Certifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 30.0


@pytest.fixture
def certifier(tmp_path: Path) -> Certifier:
    return Certifier(tmp_path)


@pytest.fixture
def settings(certifier: Certifier) -> ListenSettings:
    return ListenSettings(
        url="https://127.0.0.1:0",
        certificate=str(certifier.server()),
        client_ca=str(certifier.ca),
        client_certificate="required",
        crl=str(certifier.crl),
    )


@pytest.fixture
def listener(settings: ListenSettings) -> Iterator[Listener]:
    with socket.socket() as bound:
        yield Listener(bound, lambda _: None, "https://here", tls_context(settings))  # type: ignore[arg-type,return-value]


@pytest.fixture
def kept(settings: ListenSettings, listener: Listener) -> Certificates:
    made = Certificates()
    made.add(settings, listener)
    return made


def test_files_that_have_not_changed_are_left_alone(kept: Certificates, listener: Listener) -> None:
    before = listener.tls
    kept.look()
    kept.look()
    assert listener.tls is before
    assert kept.reload()
    assert listener.tls is not before


def test_files_that_changed_are_loaded_when_they_stand_still(
    kept: Certificates, listener: Listener, certifier: Certifier, caplog: pytest.LogCaptureFixture
) -> None:
    before = listener.tls
    certifier.server()
    kept.look()
    assert listener.tls is before
    certifier.authority.renew_crl()
    kept.look()
    assert listener.tls is before
    with caplog.at_level(logging.INFO, "anycore.certificates"):
        kept.look()
    assert listener.tls is not before
    assert "certificates of https://here replaced; the new one is valid until" in caplog.text
    after = listener.tls
    kept.look()
    assert listener.tls is after


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("certificate", "rubbish"),
        ("certificate", None),
        ("crl", "rubbish"),
        ("client_ca", None),
        ("certificate", CERTIFICATE[:300]),
    ],
)
def test_what_cannot_be_loaded_leaves_the_old_in_force(
    kept: Certificates, listener: Listener, settings: ListenSettings, name: str, content: str | None,
    tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    before = listener.tls
    path = tmp_path / getattr(settings, name)
    good = path.read_bytes()
    path.write_text(content) if content is not None else path.unlink()
    for _ in range(4):
        kept.look()
    assert listener.tls is before
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "the old certificates stay in force until the files change again" in caplog.text
    assert str(path) in caplog.text
    assert not kept.reload()
    path.write_bytes(good)
    kept.look()
    kept.look()
    assert listener.tls is not before


def test_it_looks_by_itself(settings: ListenSettings, listener: Listener, certifier: Certifier) -> None:
    before = listener.tls
    replaced = threading.Event()

    class Told(Listener):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "tls" and value is not before:
                replaced.set()

    told = Told(listener.socket, listener.open, listener.url, before)
    made = Certificates(interval=0.01)
    made.add(settings, told)
    made.start()
    try:
        certifier.server()
        assert replaced.wait(PATIENCE)
    finally:
        made.stop()
    made.stop()


def test_nothing_is_watched_without_tls(tmp_path: Path) -> None:
    made = Certificates()
    with socket.socket() as bound:
        made.add(ListenSettings(), Listener(bound, lambda _: None))  # type: ignore[arg-type,return-value]
    made.start()
    assert "anycore-certificates" not in {thread.name for thread in threading.enumerate()}
    assert made.expiries() == [] and made.reload()


def test_expiries(kept: Certificates, settings: ListenSettings, certifier: Certifier) -> None:
    now = datetime.now(UTC)
    found = {(url, what): round((until - now) / timedelta(days=1)) for url, what, until in kept.expiries()}
    assert found == {
        ("https://here", "certificate"): 30,
        ("https://here", "client_ca"): 3650,
        ("https://here", "crl"): 90,
    }


def test_the_metric(kept: Certificates) -> None:
    ((name, _, values),) = kept.gauges()
    assert name == "anycore_certificate_expiry_timestamp_seconds"
    ends = {labels["file"]: round((value - datetime.now(UTC).timestamp()) / 86_400) for labels, value in values}
    assert ends == {"certificate": 30, "client_ca": 3650, "crl": 90}
    assert Certificates().gauges() == []


def test_warnings() -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    names = {31: "certificate", 30: "certificate", 7: "client_ca", 1: "crl", -1: "certificate"}
    found = certificates.warnings([("u", name, now + timedelta(days=days)) for days, name in names.items()], now)
    assert found == [
        (
            logging.WARNING,
            "u: what certificate names ends in 30 days, on 2026-05-31; renew it: anycore ca renew, or anycore enroll --renew",
        ),
        (
            logging.WARNING,
            "u: what client_ca names ends in 7 days, on 2026-05-08; renew it: anycore ca renew --authority",
        ),
        (logging.ERROR, "u: what crl names ends in 1 day, on 2026-05-02; renew it: anycore ca crl"),
        (
            logging.ERROR,
            "u: what certificate names has ended on 2026-04-30; renew it: anycore ca renew, or anycore enroll --renew",
        ),
    ]


def test_it_warns_at_the_start(
    settings: ListenSettings, listener: Listener, certifier: Certifier, caplog: pytest.LogCaptureFixture
) -> None:
    certifier.server(days=3)
    made = Certificates()
    made.add(settings, listener)
    made.warn()
    assert "https://here: what certificate names ends in 2 days" in caplog.text
