"""What the processes of one server say to each other: topics, their handlers, and the answers. How it travels is the core's business.

A publication is for every process; a request wants an answer of each. Payloads and answers are what msgpack can carry: a handler gets a
copy, also where it is called in the same process, so that a core with several processes brings no surprise.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[Any], Any]

_log = logging.getLogger("anycore.core")

encode: Final = msgspec.msgpack.encode
decode: Final = msgspec.msgpack.decode

ANSWER_SECONDS: Final = 5.0
"""How long to wait for answers, unless said otherwise."""
SUPERVISOR: Final = -1
"""The number of the process that serves nobody and looks after those that do, where a core has one."""


class Answer(msgspec.Struct, frozen=True):
    """What a process answered.

    Args:
        worker: The number of the process among those that serve.
        process: Its number for the system.
        value: What its handler returned.
        error: Why there is no value: the handler raised, or the process ended or took too long; else an empty string.
    """

    worker: int
    process: int
    value: Any = None
    error: str = ""


class Topics:
    """The handlers of one process, by topic. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handlers: dict[str, tuple[Handler, ...]] = {}

    def on(self, topic: str, handler: Handler) -> None:
        """Have a handler called when something is said on a topic."""
        with self._lock:
            self._handlers[topic] = (*self._handlers.get(topic, ()), handler)

    def hear(self, topic: str, payload: bytes) -> None:
        """Give a publication to the handlers; what they raise is logged.

        Args:
            topic: The topic.
            payload: What was said, encoded.
        """
        for handler in self._handlers.get(topic, ()):
            try:
                handler(decode(payload))
            except Exception:  # noqa: BLE001 - a handler's failure is neither the publisher's nor the next handler's
                _log.exception("a handler of the topic %r failed", topic)

    def answer(self, topic: str, payload: bytes, worker: int = 0) -> list[Answer]:
        """Give a request to the handlers; return what they answer, one for each handler.

        Args:
            topic: The topic.
            payload: What was asked, encoded.
            worker: The number of this process among those that serve.
        """
        return [_answer(topic, handler, payload, worker) for handler in self._handlers.get(topic, ())]


def _answer(topic: str, handler: Handler, payload: bytes, worker: int) -> Answer:
    try:
        value = decode(encode(handler(decode(payload))))
    except Exception as error:  # noqa: BLE001 - as above, and whoever asked is told
        _log.exception("a handler of the topic %r failed", topic)
        return Answer(worker, os.getpid(), None, f"{type(error).__name__}: {error}")
    return Answer(worker, os.getpid(), value)
