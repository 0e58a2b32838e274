"""Denials are counted, and one peer cannot fill the log with them."""

from __future__ import annotations

import pytest

from anycore.kernel.call import Peer
from anycore.kernel.denials import Denials
from anycore.kernel.incidents import Incidents

BOB = Peer.of_address(("192.0.2.1", 7))
EVE = Peer.of_address(("192.0.2.2", 7))


def test_a_peer_has_its_lines_and_all_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    incidents = Incidents(lines_per_second=1000)
    denials = Denials(incidents, lines=3, seconds=60, clock=lambda: now[0])
    for number in range(50):
        denials.note(EVE, f"eve {number}")
    denials.note(BOB, "bob 0")

    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "denied from 192.0.2.2:7: eve 0",
        "denied from 192.0.2.2:7: eve 1",
        "denied from 192.0.2.2:7: eve 2",
        "denied from 192.0.2.1:7: bob 0",
    ]
    assert incidents.counts() == {"denied": 51}

    caplog.clear()
    now[0] = 60.0
    denials.note(EVE, "eve again")
    assert caplog.records[0].getMessage() == (
        "denied from 192.0.2.2:7: eve again; 47 more denials of this peer were counted and not logged"
    )


def test_what_is_remembered_of_peers_is_bounded() -> None:
    denials = Denials(Incidents(lines_per_second=0))
    for number in range(5000):
        denials.note(Peer.of_address((f"10.0.{number // 256}.{number % 256}", 1)), "x")

    assert len(denials._windows) <= 1000
    assert denials.incidents.counts() == {"denied": 5000}
