"""A site with one plugin, and a talk with it: what a core does, without a core."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from anycore.conversations.base import Job, Phase
from anycore.conversations.http import HttpConversation
from anycore.conversations.site import HttpSite
from anycore.kernel.call import Mode, Peer
from anycore.kernel.kernel import Kernel
from anycore.kernel.plugin import Plugin, exposed
from anycore.kernel.registry import verify
from anycore.wire.faults import Fault
from anycore.wire.http1 import Response, ResponseParser

PEER = Peer("tcp", "127.0.0.1", 7)


class Kit(Plugin):
    name = "kit"

    def __init__(self) -> None:
        self.notes: list[Any] = []

    @exposed(quick=True)
    def add(self, a: int, b: int) -> int:
        return a + b

    @exposed
    def echo(self, value: Any = None) -> Any:
        return value

    @exposed
    async def wait(self, value: int) -> int:
        await asyncio.sleep(0)
        return value

    @exposed
    def note(self, value: Any) -> Any:
        self.notes.append(value)
        return value

    @exposed
    def bad(self, kind: str) -> Any:
        cyclic: list[Any] = []
        cyclic.append(cyclic)
        values = {"nan": float("nan"), "object": object(), "surrogate": "\ud800", "cycle": cyclic}
        return {"rooms": [1, {"celsius": values[kind]}]}

    @exposed
    def fault(self, data: Any) -> None:
        raise Fault(42, "own fault", {"bad": object()} if data == "bad" else data)


class Talk:
    """A conversation whose jobs the test runs when it likes.

    Attributes:
        sent: All that the conversation had to say so far.
        jobs: Jobs that were handed out and not yet run.
    """

    def __init__(self, site: HttpSite, **options: Any) -> None:
        self.conversation = HttpConversation(PEER, site, **options)
        self.jobs: deque[Job] = deque()
        self.sent = b""

    def feed(self, data: bytes) -> None:
        self.jobs.extend(self.conversation.feed(data))
        self.take()

    def take(self) -> None:
        self.sent += self.conversation.take()

    def phase(self) -> Phase:
        return self.conversation.phase

    def run(self, job: Job | None = None) -> None:
        """Run one job: the given one, or the first."""
        job = self.jobs[0] if job is None else job
        self.jobs.remove(job)
        if job.mode is Mode.ASYNC:
            asyncio.run(job.run_async())
        else:
            job.run()
        self.jobs.extend(self.conversation.finish(job))
        self.take()

    def refuse(self) -> None:
        """Refuse the first job."""
        job = self.jobs.popleft()
        job.refuse("the server is busy")
        self.jobs.extend(self.conversation.finish(job))
        self.take()

    def run_all(self) -> None:
        while self.jobs:
            self.run()

    def ask(self, *requests: bytes) -> list[Response]:
        """Send requests, run all jobs, and return the responses that came back since the last time."""
        before = len(self.sent)
        self.feed(b"".join(requests))
        self.run_all()
        return responses(self.sent[before:], *requests)


def responses(data: bytes, *requests: bytes) -> list[Response]:
    parser = ResponseParser()
    for request in requests:
        parser.expect(request.partition(b" ")[0].decode())
    return parser.feed(data)


@pytest.fixture
def kit() -> Kit:
    return Kit()


@pytest.fixture
def kernel(kit: Kit) -> Kernel:
    kernel = Kernel()
    kernel.registry.commit([verify(kit, "test")])
    return kernel


@pytest.fixture
def talk(kernel: Kernel) -> Callable[..., Talk]:
    """Begin a conversation; options are those of `HttpSite`, and `max_pipeline`."""

    def begin(*, max_pipeline: int = 64, **options: Any) -> Talk:
        return Talk(HttpSite(kernel, **options), max_pipeline=max_pipeline)

    return begin
