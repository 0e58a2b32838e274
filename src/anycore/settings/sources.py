"""Where settings come from: option before environment variable before TOML file before default. All that is wrong is told at once.

What a value must be like lives in `values`, what values must fulfil together in `verify`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from anycore.conversations.site import Limits
from anycore.cores.base import CoreLimits
from anycore.settings.access import check_access
from anycore.settings.document import Document, find_file
from anycore.settings.keys import PREFIX, SECTIONS, Key, keys
from anycore.settings.origins import Given, Origin
from anycore.settings.problems import ConfigurationError, suggest
from anycore.settings.tables import (
    DEFAULT_URL,
    ListenSettings,
    Settings,
)
from anycore.settings.values import UnfitError, fit, read
from anycore.settings.verify import verify

_S = TypeVar("_S", bound=msgspec.Struct)
_FOR: Final = {
    "listen.certificate": ("https", "rpycs"),
    "listen.key": ("https", "rpycs"),
    "listen.client_ca": ("https", "rpycs"),
    "listen.client_certificate": ("https", "rpycs"),
    "listen.crl": ("https", "rpycs"),
    "listen.minimum_tls": ("https", "rpycs"),
    "listen.mode": ("unix+http", "unix+rpyc"),
}


def load_settings(
    *,
    file: str | None = None,
    options: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    sections: Sequence[str] | None = None,
) -> Settings:
    """Gather the settings from all sources and verify them.

    Options and environment variables for listeners concern every listener, those of TLS every one with TLS.

    Args:
        file: The configuration file. When left out: that of `ANYCORE_CONFIG`, else `anycore.toml` in the current
            directory if there is one.
        options: The options that were given, by path, such as `limits.idle_time`: text, a list of texts, or a bool.
        environment: The environment; the process's own when left out.
        sections: The tables that are wanted; others are neither read nor verified. All when left out.

    Raises:
        ConfigurationError: With all problems.
    """
    variables = os.environ if environment is None else environment
    document = Document(find_file(file, variables), sections)
    problems = document.problems
    given = document.given | _from_environment(variables, sections, problems) | _from_options(options or {}, problems)
    listeners = _listeners(document.listeners, given, problems)
    origins = _origins(given, listeners)
    tables: dict[str, Any] = {
        section.name: _made(section.structs[0], section.name, given) for section in SECTIONS if section.plain
    }
    settings = Settings(
        **tables,
        listen=tuple(_made(ListenSettings, "listen", listener) for listener in listeners),
        limits=_made(Limits, "limits", given),
        core_limits=_made(CoreLimits, "limits", given),
        plugin=document.plugin,
        rules=document.rules,
        file=str(document.file or ""),
        origins={path: origin.place for path, origin in origins.items()},
    )
    if sections is None:
        problems += verify(settings, origins)
        if document.readable:
            problems += [problem for problem in check_access(settings) if problem not in problems]
    if problems:
        raise ConfigurationError(problems)
    return settings


def _from_environment(
    environment: Mapping[str, str], sections: Sequence[str] | None, problems: list[str]
) -> dict[str, Given]:
    known = {key.variable: key for key in keys().values() if sections is None or key.section in sections}
    found: dict[str, Given] = {}
    for name in sorted(environment):
        if name in known and environment[name]:
            origin = Origin("environment", f"environment variable {name}")
            _take(known[name], environment[name], origin, found, problems)
        elif name not in known and sections is None:
            # Others may use the prefix, as Kubernetes does for a service of that name: only what looks like a slip is refused.
            near = suggest(name, known)
            if near and name.startswith(tuple(PREFIX + section.variable for section in SECTIONS if section.variable)):
                problems.append(f"environment variable {name}: there is no such setting; did you mean {near}?")
    return found


def _from_options(options: Mapping[str, Any], problems: list[str]) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for path, value in options.items():
        key = keys()[path]
        if value is not None and value != ():
            place = key.option if key.option == "PATHS" else f"option {key.option}"
            _take(key, value, Origin("option", place), found, problems)
    return found


def _take(key: Key, value: Any, origin: Origin, found: dict[str, Given], problems: list[str]) -> None:
    try:
        if key.path == "listen.url":  # several here, one in a table of the file
            urls = value.split(",") if isinstance(value, str) else value
            found[key.path] = Given(tuple(url.strip() for url in urls), origin)
        else:
            found[key.path] = Given(read(key, value) if isinstance(value, str) else fit(key, value), origin)
    except UnfitError as error:
        problems.append(f"{origin.place}: {error}; write e.g. {origin.assign(key, key.example)}")


def _listeners(
    tables: list[dict[str, Given]], given: Mapping[str, Given], problems: list[str]
) -> list[dict[str, Given]]:
    """Return the values of each listener, with those that options and environment give to all."""
    urls = given.get("listen.url")
    if urls is not None:
        tables = [{"listen.url": Given(url, urls.origin)} for url in urls.value]
    common = {path: value for path, value in given.items() if path.startswith("listen.") and path != "listen.url"}
    listeners = []
    for table in tables or [{}]:
        url = table["listen.url"].value if "listen.url" in table else DEFAULT_URL
        fits = {path: value for path, value in common.items() if url.startswith(_FOR.get(path, ""))}
        listeners.append(table | fits)
    for path, value in common.items():
        if not any(path in listener for listener in listeners):
            problems.append(
                f"{value.origin.place}: no listener is {' or '.join(_FOR[path])}; add one with e.g. {_example(path)}"
            )
    return listeners


def _example(path: str) -> str:
    return f"--listen {'https://127.0.0.1:6789' if 'https' in _FOR[path] else 'unix+http:///run/anycore.sock'}"


def _origins(given: Mapping[str, Given], listeners: Sequence[Mapping[str, Given]]) -> dict[str, Origin]:
    found = {path: value.origin for path, value in given.items() if not path.startswith("listen.")}
    for index, listener in enumerate(listeners):
        found.update({path.replace("listen", f"listen[{index}]", 1): value.origin for path, value in listener.items()})
    return found


def _made(struct: type[_S], section: str, given: Mapping[str, Given]) -> _S:
    names = struct.__struct_fields__
    return struct(**{name: given[f"{section}.{name}"].value for name in names if f"{section}.{name}" in given})
