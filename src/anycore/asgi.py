"""`anycore.asgi:app`, for servers that are told an ASGI application by name: `uvicorn anycore.asgi:app`.

It is made of the configuration file and the environment when it is first asked for. Nothing else lives here.
"""

from __future__ import annotations

from functools import cache

from anycore.cores.foreign.asgi import AsgiApplication
from anycore.server.hosted import asgi_application

__all__ = ["app", "asgi_application"]  # noqa: F822 - made by __getattr__


@cache
def _app() -> AsgiApplication:
    return asgi_application()


def __getattr__(name: str) -> AsgiApplication:
    if name == "app":
        return _app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has `app` and `asgi_application`")
