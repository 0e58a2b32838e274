"""`anycore.wsgi:application`, for servers that are told a WSGI application by name: `gunicorn anycore.wsgi:application`.

It is made of the configuration file and the environment when it is first asked for. Nothing else lives here.
"""

from __future__ import annotations

from functools import cache

from anycore.server.hosted import HostedWsgi, wsgi_application

__all__ = ["application", "wsgi_application"]  # noqa: F822 - made by __getattr__


@cache
def _application() -> HostedWsgi:
    return wsgi_application()


def __getattr__(name: str) -> HostedWsgi:
    if name in ("application", "app"):
        return _application()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has `application` and `wsgi_application`")
