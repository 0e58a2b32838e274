"""Which promises of cores others' servers cannot keep, and why. The names are those of the checks of `check_core`.

The reference shows this table, and the tests run all other checks.
"""

from __future__ import annotations

from typing import Final

_THREAD: Final = "a WSGI server has a thread for each request, also for one whose method is `async def`"
_BUSY: Final = (
    "a plain method cannot be left by the thread of the server that it runs in; `async def` methods are given up"
)
_HANDSHAKES: Final = "the server counts no hand-shakes; each has its time limit"
_EARLY: Final = "asyncio shakes hands before uvicorn knows of a connection; the time limit is that of asyncio, 60 s"
_HALF: Final = "the server ends a connection whose peer sends no more, also when an answer is due"
_SILENT: Final = (
    "granian tells nobody of connections: `connections` and `accepted` are 0, and what it does at limits cannot be seen"
)

UNKEPT: Final[dict[str, dict[str, str]]] = {
    "uvicorn": {
        "answers_after_half_close": _HALF,
        "counts_handshakes_as_connections": _EARLY,
        "ends_old_handshakes_for_new_ones": _EARLY,
        "takes_the_tls_context_that_there_is": "a renewed certificate is shown; whose certificates are accepted stays as it was",
    },
    "granian": {
        "answers_after_half_close": _HALF,
        "counts_handshakes_as_connections": _SILENT,
        "ends_old_handshakes_for_new_ones": _SILENT,
        "ends_silent_connections_when_it_stops": _SILENT,
        "keeps_figures": _SILENT,
        "refuses_connections_over_the_limit": "a connection more waits until there is a place",
        "sends_away_peers_that_do_not_read_a_large_answer": "what a peer does not read stays in memory until it goes",
        "takes_the_tls_context_that_there_is": "granian reads the files itself, once; start the server again",
        "tells_a_tls_peer": "granian tells neither the certificate that a peer has shown nor the version of TLS",
    },
    "gunicorn": {
        "ends_old_handshakes_for_new_ones": _HANDSHAKES,
        "ends_work_that_takes_too_long": _BUSY,
        "runs_async_jobs_side_by_side": _THREAD,
    },
    "cheroot": {
        "ends_old_handshakes_for_new_ones": _HANDSHAKES,
        "ends_work_that_takes_too_long": _BUSY,
        "runs_async_jobs_side_by_side": _THREAD,
    },
}
"""For each core, the checks that it does not pass, and why."""
