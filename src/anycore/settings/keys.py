"""The table of all settings, from which options, environment variables, the checks and the reference are derived.

It is made from the structs of `settings`: a new field there is a new key everywhere.
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any, Final

import msgspec
from msgspec.inspect import BoolType, IntType, LiteralType, Metadata, VarTupleType, type_info

from anycore.access.groups.tree import GroupSettings
from anycore.conversations.site import Limits
from anycore.cores.base import CoreLimits
from anycore.cores.prefork_options import PreforkOptions
from anycore.identity.sessions.settings import SessionSettings
from anycore.identity.settings import AuthenticationSettings
from anycore.objects.config import MAX_BUSY_POLL_TIME
from anycore.settings.tables import (
    AccessSettings,
    ClientSettings,
    DiscoverySettings,
    EnrolmentSettings,
    ListenSettings,
    LogSettings,
    ProcessSettings,
    RpycSettings,
    ServerSettings,
)
from anycore.store.settings import StoreSettings

PREFIX: Final = "ANYCORE_"
STANDARD_STREAM: Final = "-"
"""What stands for a standard stream where a file is expected."""
_LONGEST: Final = 1_000_000.0  # seconds, eleven days: what the system's calls take, in milliseconds, as a C int
_MOST: Final = 2**31 - 1
_FROM_ZERO: Final = frozenset(
    {
        "prefork.workers",
        "prefork.calls",
        "limits.compress_above",
        "limits.backlog",
        "authentication.attempts",
        "rpyc.keepalive",
        "store.plugin_keys",
        "store.plugin_bytes",
    }
)
_AT_MOST: Final[dict[str, float]] = {
    "limits.depth": 500,  # well under the depth at which Python itself gives up
    "rpyc.keepalive": 32767,  # what Linux takes
    "limits.busy_poll_time": MAX_BUSY_POLL_TIME,
}


class Section(msgspec.Struct, frozen=True):
    """A table of the configuration.

    Args:
        name: Its name.
        structs: What has its keys.
        variable: What its environment variables have between `ANYCORE_` and the key.
        option: What its options have before the key.
        title: Heading of its options.
    """

    name: str
    structs: tuple[type[msgspec.Struct], ...]
    variable: str
    option: str
    title: str

    @property
    def table(self) -> str:
        """The table's header in TOML."""
        return f"[[{self.name}]]" if self.name == "listen" else f"[{self.name}]"

    @property
    def plain(self) -> bool:
        """Whether it is one table that becomes one struct, the field of `Settings` with its name."""
        return self.name not in ("listen", "limits")


SECTIONS: Final = (
    Section("server", (ServerSettings,), "", "", "Server"),
    Section("listen", (ListenSettings,), "LISTEN_", "", "Listeners"),
    Section("limits", (Limits, CoreLimits), "LIMITS_", "", "Limits"),
    Section("authentication", (AuthenticationSettings,), "AUTHENTICATION_", "authentication-", "Authentication"),
    Section("sessions", (SessionSettings,), "SESSIONS_", "sessions-", "Sessions"),
    Section("access", (AccessSettings,), "ACCESS_", "access-", "Access"),
    Section("groups", (GroupSettings,), "GROUPS_", "groups-", "Groups"),
    Section("store", (StoreSettings,), "STORE_", "store-", "Store"),
    Section("enrolment", (EnrolmentSettings,), "ENROLMENT_", "enrolment-", "Enrolment"),
    Section("prefork", (PreforkOptions,), "PREFORK_", "prefork-", "Prefork"),
    Section("rpyc", (RpycSettings,), "RPYC_", "rpyc-", "RPyC"),
    Section("discovery", (DiscoverySettings,), "DISCOVERY_", "", "Discovery"),
    Section("process", (ProcessSettings,), "PROCESS_", "", "Process"),
    Section("log", (LogSettings,), "LOG_", "log-", "Log"),
    Section("client", (ClientSettings,), "CLIENT_", "", "Client"),
)
SERVER_SECTIONS: Final = tuple(section.name for section in SECTIONS if section.name != "client")
"""The tables that a server reads."""


class Key(msgspec.Struct, frozen=True):
    """One setting.

    Args:
        section: The name of its table.
        name: Its name in the table.
        type: Its type, as `msgspec.inspect` has it, without metadata.
        default: Its default.
        help: What it does, for people.
        variable: Its environment variable.
        option: Its option; for `server.plugins`, which are arguments, the name of those.
        example: A value that is typical, for messages.
        is_path: Whether it holds paths, which a file gives relative to itself.
    """

    section: str
    name: str
    type: msgspec.inspect.Type
    default: Any
    help: str
    variable: str
    option: str
    example: Any
    is_path: bool

    @property
    def path(self) -> str:
        """Section and name, `limits.idle_time`."""
        return f"{self.section}.{self.name}"

    @property
    def repeated(self) -> bool:
        """Whether it holds several values."""
        return isinstance(self.type, VarTupleType)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that are allowed, when these are few."""
        return tuple(map(str, self.type.values)) if isinstance(self.type, LiteralType) else ()

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest number that is allowed."""
        if isinstance(self.type, IntType):
            return (0 if self.path in _FROM_ZERO else 1), _AT_MOST.get(self.path, _MOST)
        return 0.0, _AT_MOST.get(self.path, _LONGEST)


@cache
def keys() -> dict[str, Key]:
    """Return all settings by their path, in the order of the tables."""
    made = [
        _key(section, field, helps.get(field.name, ""))
        for section in SECTIONS
        for struct in section.structs
        for helps in [descriptions(struct)]
        for field in msgspec.structs.fields(struct)
    ]
    return {key.path: key for key in made}


def of_section(name: str) -> dict[str, Key]:
    """Return the settings of a table by their name in it."""
    return {key.name: key for key in keys().values() if key.section == name}


def _key(section: Section, field: msgspec.structs.FieldInfo, text: str) -> Key:
    kind = type_info(field.type)
    example, extra = True if isinstance(kind, BoolType) else field.default, {}
    if isinstance(kind, Metadata):
        examples = (kind.extra_json_schema or {}).get("examples", [field.default])
        extra = kind.extra or {}
        kind = kind.type
        example = (examples[0],) if isinstance(kind, VarTupleType) else examples[0]
    variable = f"{PREFIX}{section.variable}{field.name.upper()}"
    option = f"--{section.option}{field.name.replace('_', '-')}"
    path = f"{section.name}.{field.name}"
    if path == "listen.url":
        variable, option = f"{PREFIX}LISTEN", "--listen"
    elif path == "server.plugins":
        option = "PATHS"
    return Key(section.name, field.name, kind, field.default, text, variable, option, example, bool(extra.get("path")))


def descriptions(struct: type) -> dict[str, str]:
    """Return what the `Args` of a struct's docstring say of each field, without the final full stop."""
    _, _, args = (inspect.getdoc(struct) or "").partition("\nArgs:\n")
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", args, re.MULTILINE)
    return {name: " ".join(text.split()).removesuffix(".") for name, text in found}
