"""Exceptions that travel from a worker to the supervisor: by the name of their class and what it was made with, never as code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from anycore.cores.prefork_messages import Failed

if TYPE_CHECKING:
    from collections.abc import Iterator


class WorkerError(RuntimeError):
    """A worker could not start, and what it raised cannot be raised here, or it ended without a word."""


def wrap(error: BaseException) -> Failed:
    """Return the message that tells of an exception."""
    kind = type(error)
    made = error.__reduce__()
    args: list[Any] = list(made[1]) if isinstance(made, tuple) and made[0] is kind else list(error.args)
    try:
        msgspec.msgpack.encode(args)
    except (TypeError, ValueError, OverflowError):  # it was made with what cannot travel
        args = [str(error)]
    return Failed(kind.__module__, kind.__qualname__, args, f"{kind.__name__}: {error}")


def unwrap(failed: Failed) -> BaseException:
    """Return the exception of a message: one of the same class, if that is loaded here, else a `WorkerError`."""
    for kind in _kinds(BaseException):
        if (kind.__module__, kind.__qualname__) == (failed.module, failed.name):
            try:
                return kind(*failed.args)
            except Exception:  # noqa: BLE001 - whatever it wants to be made with, this was not it
                break
    return WorkerError(failed.text)


def _kinds(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for one in type.__subclasses__(kind):
        yield from _kinds(one)
