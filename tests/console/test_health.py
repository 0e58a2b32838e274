from __future__ import annotations

import pytest

from anycore.console.health import Health
from anycore.conversations.exchange import Exchange
from anycore.kernel.call import Peer
from anycore.wire.http1 import Request


@pytest.mark.parametrize(
    ("health", "status", "body"),
    [
        (Health(), 200, b"ok\n"),
        (Health(lambda: ""), 200, b"ok\n"),
        (Health(lambda: "not ready"), 503, b"not ready\n"),
    ],
)
def test_all_may_ask_whether_all_is_well(health: Health, status: int, body: bytes) -> None:
    request = Request("GET", "/livez", "/livez", "", "1.1", {}, b"", True)
    exchange = Exchange(request, Peer("tcp", "192.0.2.1", 7, local=False))

    assert health.open(exchange) == ()
    assert (exchange.status, exchange.body) == (status, body)
    assert ("Cache-Control", "no-store") in exchange.headers
