"""The access log: a line for each call, in a file that may be rotated."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from anycore.kernel.call import Call, Identity, Outcome, Peer
from anycore.server.errors import StartupError
from anycore.server.logs.access import AccessLog
from anycore.wire.faults import Fault


def call(name: str = "thermostat.set", **given: object) -> Call:
    made = Call(name, peer=Peer("tcp", "10.0.0.1", 7, local=False), wire="xmlrpc", **given)  # type: ignore[arg-type]
    made.identity = Identity("alice", "password")
    return made


def test_a_line_of_json_for_each_call(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "access.log"))
    first = call(request_id="req-1")
    log(first, Outcome(1), 1_234_567)
    second = call()
    log(second, Outcome(fault=Fault(-32001, "no")), 5)
    log.close()
    log(first, Outcome(1), 1)
    one, two = map(json.loads, (tmp_path / "access.log").read_text().splitlines())
    assert one.pop("time").endswith("Z")
    assert one == {
        "id": "req-1",
        "peer": "10.0.0.1:7",
        "identity": "alice",
        "kind": "password",
        "wire": "xmlrpc",
        "method": "thermostat.set",
        "code": 0,
        "ms": 1.235,
    }
    assert (two["id"], two["code"]) == (second.id, -32001)


def test_what_a_peer_sent_cannot_pretend_to_be_another_line(tmp_path: Path) -> None:
    for pretty in (False, True):
        log = AccessLog(str(tmp_path / f"{pretty}.log"), pretty=pretty)
        log(call("a\nforged \x1b[2J" + "x" * 10_000), Outcome(), 5)
        log.close()
        (line,) = (tmp_path / f"{pretty}.log").read_text().splitlines()
        assert "\x1b" not in line
        assert len(line) < 400


def test_a_file_that_was_moved_away_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("anycore.server.logs.access.time.time", lambda: clock[0])
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    for moved in (False, True, False):
        if moved:
            path.rename(tmp_path / "old.log")
        clock[0] += 1
        log(call(), Outcome(), 5)
    log.close()
    assert len((tmp_path / "old.log").read_text().splitlines()) == 1
    assert len(path.read_text().splitlines()) == 2


def test_a_full_disk_is_complained_of_once_and_stops_no_call(caplog: pytest.LogCaptureFixture) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    log = AccessLog("/dev/full")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            log(call(), Outcome(), 5)
    log.close()
    assert [record.getMessage() for record in caplog.records] == [
        "the access log /dev/full cannot be written: No space left on device"
    ]


def test_a_file_that_cannot_be_written_is_a_start_up_error(tmp_path: Path) -> None:
    with pytest.raises(
        StartupError, match=r"log\.access: .*nowhere/a\.log cannot be written: No such file or directory; give"
    ):
        AccessLog(str(tmp_path / "nowhere" / "a.log"))
