"""`rpyc.core.async_`: results of requests that nobody waits for yet."""

from __future__ import annotations

from anycore.objects.result import AsyncResult, AsyncResultTimeout

__all__ = ["AsyncResult", "AsyncResultTimeout"]
