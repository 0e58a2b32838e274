"""`rpyc.utils.helpers`: calls that do not wait or are timed, chunked iteration, restricted objects, serving in the background."""

from __future__ import annotations

from anycore.rpyc.helpers import BgServingThread, async_, buffiter, restricted, spawn, timed
from anycore.rpyc.service import classpartial

__all__ = ["BgServingThread", "async_", "buffiter", "classpartial", "restricted", "spawn", "timed"]

globals()["async"] = async_
