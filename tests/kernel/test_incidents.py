from __future__ import annotations

import logging
import threading

import pytest

from anycore.kernel.call import Peer
from anycore.kernel.incidents import Incidents

PEER = Peer("tcp", "192.0.2.1", 7, local=False)


def test_an_incident_is_counted_by_kind_and_logged_with_its_peer(caplog: pytest.LogCaptureFixture) -> None:
    incidents = Incidents()
    incidents.note(PEER, "http-400", "bad line")
    incidents.note(PEER, "http-400", "bad line")
    incidents.note(PEER, "http-404", "no page")

    assert incidents.counts() == {"http-400": 2, "http-404": 1}
    assert next(record.getMessage() for record in caplog.records) == "http-400 from 192.0.2.1:7: bad line"
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_flood_is_counted_and_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    incidents = Incidents(lines_per_second=3)
    for _ in range(100):
        incidents.note(PEER, "http-400", "again")
    incidents._second = 0  # as if a second had gone by
    incidents.note(PEER, "http-400", "later")

    lines = [record.getMessage() for record in caplog.records]
    left_out = [int(line.split()[0]) for line in lines if line.endswith(" incidents were counted and not logged")]
    assert lines[-1] == "http-400 from 192.0.2.1:7: later"
    assert len(lines) < 20
    assert len(lines) - len(left_out) + sum(left_out) == 101
    assert incidents.counts() == {"http-400": 101}


def test_what_counts_returns_is_the_callers_own() -> None:
    incidents = Incidents()
    incidents.note(PEER, "a", "b")
    dict(incidents.counts()).clear()

    assert incidents.counts() == {"a": 1}


def test_threads_lose_no_incidents() -> None:
    incidents = Incidents(lines_per_second=0)

    def work() -> None:
        for _ in range(500):
            incidents.note(PEER, "kind", "message")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert incidents.counts() == {"kind": 2000}
