"""What the table `[process]` must fulfil."""

from __future__ import annotations

import pytest

from anycore.settings.problems import ConfigurationError
from anycore.settings.sources import load_settings


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"process.umask": "88"},
            "option --umask: expected three octal digits, got the string .*; write e.g. --umask 077$",
        ),
        (
            {"server.store": "x"},
            'option --store: expected lmdb:PATH or memory:, got "x"; write e.g. --store lmdb:./store$',
        ),
        ({"process.take_over": True}, "option --take-over: nothing says where the other server is reached"),
        (
            {"process.daemonize": True, "server.core": "stdio", "listen.url": ["stdio+http:"]},
            "option --daemonize: the core stdio serves the terminal or pipe",
        ),
    ],
)
def test_what_is_wrong_is_told(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load_settings(options=options, environment={})
