from __future__ import annotations

import logging
import ssl

import pytest

from anycore.cores import handshakes
from anycore.cores.handshakes import Handshakes


def test_there_is_room_up_to_the_limit() -> None:
    ended: list[str] = []
    made: Handshakes[str] = Handshakes(2, ended.append)
    for name in ("one", "two"):
        assert made.room()
        made.add(name)
    assert not made.room()
    made.done("one")
    made.done("one")
    assert made.room()
    assert list(made) == ["two"] and len(made) == 1 and ended == []


def test_the_oldest_goes_when_it_has_had_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "GRACE", 0.0)
    ended: list[str] = []
    made: Handshakes[str] = Handshakes(2, ended.append)
    made.add("one")
    made.add("two")
    assert made.room()
    assert ended == ["one"] and list(made) == ["two"]


def test_no_limit() -> None:
    made: Handshakes[int] = Handshakes(0, lambda _: None)
    for number in range(100):
        made.add(number)
    assert made.room()


def test_a_failure_is_logged_once_a_second_and_a_peer_that_goes_is_not(caplog: pytest.LogCaptureFixture) -> None:
    made: Handshakes[int] = Handshakes(1, lambda _: None)
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed: certificate revoked")
    refused.verify_message = "certificate revoked"
    with caplog.at_level(logging.INFO, "anycore.core"):
        made.failed(("192.0.2.1", 1), ssl.SSLEOFError(8, "EOF occurred"))
        made.failed(("192.0.2.1", 1), ConnectionResetError())
        assert caplog.messages == []
        made.failed(("192.0.2.1", 1), refused)
        made.failed(("192.0.2.2", 1), refused)
    assert caplog.messages == ["the hand-shake with 192.0.2.1 failed: certificate revoked"]
