"""An event loop in a thread of its own, for the coroutines of a core that has threads only. Started when first used."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future

_log = logging.getLogger("anycore.core")

CANCEL_SECONDS: Final = 1.0
"""How long tasks that were cancelled and connections that were aborted may take to end."""
_ENDED: Final = "the core has ended; its event loop takes no more coroutines"
_ON_LOOP: Final = "the event loop cannot wait for itself: await the coroutine, or ask from a thread or a plain method"


class LoopThread:
    """Runs coroutines for other threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.closed = False

    def run(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine and wait for it.

        Args:
            coroutine: What to run.
            timeout: Seconds to wait, or None.

        Raises:
            TimeoutError: When it took longer; it is cancelled then.
            RuntimeError: When the loop has been closed.
        """
        return _wait(self.submit(coroutine), timeout)

    def submit(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Let a coroutine run; return the future of its result.

        Args:
            coroutine: What to run.

        Raises:
            RuntimeError: When the loop has been closed.
        """
        with self._lock:  # so that `close` finds, and cancels, whatever was submitted before it
            loop = self._started(coroutine)
            return asyncio.run_coroutine_threadsafe(coroutine, loop)

    def _started(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.AbstractEventLoop:
        if self.closed:
            coroutine.close()
            raise RuntimeError(_ENDED)
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_live, args=(self._loop,), name="anycore-loop", daemon=True)
            self._thread.start()
        elif asyncio._get_running_loop() is self._loop:  # noqa: SLF001 - asyncio documents it as public for frameworks
            coroutine.close()
            raise RuntimeError(_ON_LOOP)
        return self._loop

    def close(self) -> None:
        """Cancel what still runs and end the thread; what takes no cancellation is left behind after a second."""
        with self._lock:
            self.closed = True
            loop, thread = self._loop, self._thread
            self._loop = None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(3 * CANCEL_SECONDS)
        if thread.is_alive():
            _log.warning("a coroutine blocks the event loop; its thread is abandoned")


def wait_for_coroutine(
    coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop, timeout: float | None
) -> Any:
    """Run a coroutine on a loop of another thread and wait for it; see `Core.run_coroutine`.

    Args:
        coroutine: What to run.
        loop: Where.
        timeout: Seconds to wait, or None.
    """
    if asyncio._get_running_loop() is loop or loop.is_closed():  # noqa: SLF001 - asyncio documents it for frameworks
        coroutine.close()
        raise RuntimeError(_ENDED if loop.is_closed() else _ON_LOOP)
    return _wait(asyncio.run_coroutine_threadsafe(coroutine, loop), timeout)


def _live(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(end_loop())
    finally:
        loop.close()


def _wait(future: Future[Any], timeout: float | None) -> Any:
    try:
        return future.result(timeout)
    except TimeoutError:
        future.cancel()
        raise


async def cancel(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel tasks of the running loop and wait for them; those that take no cancellation are left behind after a second."""
    for task in tasks:
        task.cancel()
    if tasks:
        _, left = await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
        if left:
            _log.warning("%d tasks take no cancellation and are abandoned: %s", len(left), ", ".join(map(repr, left)))


async def end_loop() -> None:
    """Cancel all other tasks of the running loop, and let closed transports and generators say goodbye."""
    await cancel({task for task in asyncio.all_tasks() if task is not asyncio.current_task()})
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.sleep(0)
