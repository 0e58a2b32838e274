"""What a thread does just now, for people; and which call it works for. Costs those that work nothing: whoever wants to know looks at stacks."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Final

from anycore.kernel.call import Call
from anycore.kernel.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SHOWN: Final = 3
_CALLERS: Final = frozenset({Kernel._invoke.__code__, Kernel._await.__code__})  # noqa: SLF001 - where plugins are called


def whereabouts(thread: int) -> str:
    """Say what a thread does, innermost first; an empty string when it has ended.

    Args:
        thread: Its identifier, as `threading.get_ident` has it.
    """
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - there is no other way to look at another thread
    if frame is None:
        return ""
    found = traceback.extract_stack(frame)[-_SHOWN:]
    return ", called from ".join(f"{one.name} ({one.filename}:{one.lineno})" for one in reversed(found))


def calls_by_thread() -> Iterator[tuple[int, Call]]:
    """Return the threads that run a plugin's method just now, and the calls that they do it for."""
    for thread, innermost in sys._current_frames().items():  # noqa: SLF001 - as above
        frame: FrameType | None = innermost
        while frame is not None:
            if frame.f_code in _CALLERS:
                call = frame.f_locals.get("call")
                if isinstance(call, Call):
                    yield thread, call
                break
            frame = frame.f_back
