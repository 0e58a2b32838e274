"""Publications and requests in a core that has one process; those between processes are tested with the core that has several."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from anycore.cores.threaded import ThreadedCore
from anycore.cores.topics import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def core() -> Iterator[ThreadedCore]:
    made = ThreadedCore([])
    yield made
    made.stop()
    made.run()


def test_every_handler_hears_a_publication(core: ThreadedCore) -> None:
    heard: list[Any] = []
    core.on("news", heard.append)
    core.on("news", lambda payload: heard.append(payload["a"]))
    core.on("other", heard.append)
    core.publish("news", {"a": [1]})
    core.publish("nobody hears")
    assert heard == [{"a": [1]}, [1]]


def test_handlers_get_copies(core: ThreadedCore) -> None:
    said: dict[str, list[int]] = {"a": []}
    core.on("news", lambda payload: payload["a"].append(1))
    core.publish("news", said)
    assert said == {"a": []}


def test_each_handler_answers(core: ThreadedCore) -> None:
    core.on("double", lambda number: 2 * number)
    core.on("double", lambda number: [number, number])
    assert core.ask("double", 2) == [Answer(0, os.getpid(), 4), Answer(0, os.getpid(), [2, 2])]
    assert core.ask("double", 2, worker=7)[0].value == 4
    assert core.ask("unheard of") == []


def test_what_a_handler_raises_harms_no_other(core: ThreadedCore) -> None:
    heard: list[Any] = []
    core.on("divide", lambda number: heard.append(1 / number))
    core.on("divide", heard.append)
    core.publish("divide", 0)
    assert heard == [0]
    failed, well = core.ask("divide", 0)
    assert failed.error == "ZeroDivisionError: division by zero"
    assert well.error == ""


def test_what_cannot_be_carried_is_refused_where_it_is_said(core: ThreadedCore) -> None:
    with pytest.raises(TypeError):
        core.publish("news", object())
    core.on("news", lambda _: object())
    assert core.ask("news")[0].error.startswith("TypeError")


def test_one_process_is_number_0(core: ThreadedCore) -> None:
    assert core.number == 0
    assert not core.several
