"""The plugins of a server and the table of their methods. Registration refuses with full sentences, completely or not at all.

The table of methods is never changed in place: it is replaced by another, in one assignment, so that a call sees either the
old plugin or the new one and never a mixture.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from anycore.kernel.method import Method, SignatureError
from anycore.kernel.plugin import Exposure, Plugin, Role, exposure_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_FULL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\Z")

R = TypeVar("R", bound=Role)


class PluginRefusedError(Exception):
    """One or several plugins cannot be registered.

    Args:
        reasons: One full sentence for each reason: plugin, method, reason, cure.
    """

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = tuple(reasons)

    def __reduce__(self) -> tuple[type[PluginRefusedError], tuple[list[str]]]:
        """Return what it was made with, so that it can be made again in another process."""
        return type(self), (list(self.reasons),)


class Entry(msgspec.Struct, eq=False):
    """A plugin as it is kept: verified, with its methods, not yet or already serving.

    Args:
        plugin: The plugin.
        origin: Where it came from, for people: a file, a package, an entry point.
        methods: Its methods.
    """

    plugin: Plugin
    origin: str
    methods: tuple[Method, ...]

    @property
    def running(self) -> int:
        """Calls of its methods that are under way."""
        return sum(method.statistics.running for method in self.methods)


class Registry:
    """The plugins that serve, and their methods by full name."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.methods: dict[str, Method] = {}

    def plugins_with(self, role: type[R]) -> tuple[R, ...]:
        """Return the plugins that take on a role, by their `order`, then by name."""
        plugins = sorted(
            (entry.plugin for entry in self.entries.values()), key=lambda plugin: (plugin.order, plugin.name)
        )
        candidates: list[object] = list(plugins)
        return tuple(plugin for plugin in candidates if isinstance(plugin, role))

    def commit(self, entries: Iterable[Entry], *, without: Iterable[str] = ()) -> None:
        """Let verified plugins serve, in place of others, in one step.

        Args:
            entries: The plugins to add.
            without: Names of plugins that stop serving.

        Raises:
            PluginRefusedError: When two plugins claim one name; nothing has changed then.
        """
        gone = set(without)
        kept = {name: entry for name, entry in self.entries.items() if name not in gone}
        reasons: list[str] = []
        for entry in entries:
            other = kept.get(entry.plugin.name)
            if other is not None:
                reasons.append(
                    f"plugin {entry.plugin.name!r} from {entry.origin} is refused: {other.origin} has a plugin of that name"
                    " already; set the class attribute `name` of one of them to another name",
                )
            else:
                kept[entry.plugin.name] = entry
        table = self._table(kept.values(), reasons)
        if reasons:
            raise PluginRefusedError(reasons)
        self.entries, self.methods = kept, table

    @staticmethod
    def _table(entries: Iterable[Entry], reasons: list[str]) -> dict[str, Method]:
        table: dict[str, Method] = {}
        for entry in entries:
            for method in entry.methods:
                for name in (method.name, *method.aliases):
                    if name in table:
                        reasons.append(
                            f"plugin {method.plugin!r} from {entry.origin} is refused: its method {method.name!r} answers to"
                            f" {name!r}, and so does {table[name].name!r}; rename one of them",
                        )
                    table[name] = method
        return table


def verify(plugin: Plugin, origin: str, settings: Mapping[str, Any] | None = None) -> Entry:
    """Check a plugin completely and make its methods, without letting it serve.

    Args:
        plugin: The plugin.
        origin: Where it came from, for people.
        settings: Its table of the configuration, or None.

    Raises:
        PluginRefusedError: With every reason at once.
    """
    who = f"plugin {plugin.name!r} from {origin} is refused"
    reasons: list[str] = []
    if not _NAME.match(str(plugin.name)):
        reasons.append(f"{who}: its name must be letters, digits and underscores; set the class attribute `name`")
    methods = _methods(plugin, who, reasons)
    if not methods and not isinstance(plugin, Role) and not reasons:
        reasons.append(f"{who}: it exposes no method and takes on no role; mark a method with @exposed")
    problem = _settle(plugin, settings)
    if problem:
        reasons.append(f"{who}: {problem}")
    if reasons:
        raise PluginRefusedError(reasons)
    return Entry(plugin, origin, methods)


def _methods(plugin: Plugin, who: str, reasons: list[str]) -> tuple[Method, ...]:
    made: dict[str, Method] = {}
    for attribute, static in inspect.getmembers_static(type(plugin)):
        # A static or class method may carry the mark itself, or on the function inside.
        exposure = exposure_of(static) or exposure_of(getattr(static, "__func__", None))
        if exposure is None:
            continue
        where = f"{who}: its method {attribute!r}"
        problem = _problem(exposure, attribute, static)
        name = exposure.name or attribute
        if problem is None and name in made:
            problem = f"has the name {name!r} of another one; give one of them another name"
        if problem is None:
            function = getattr(plugin, attribute)
            full = f"{plugin.name}.{name}"
            try:
                made[name] = Method(
                    full, plugin.name, function, quick=exposure.quick, aliases=exposure.aliases, types=exposure.types
                )
            except SignatureError as error:
                problem = f"cannot be exposed: {error}"
        if problem is not None:
            reasons.append(f"{where} {problem}")
    return tuple(made.values())


def _problem(exposure: Exposure, attribute: str, static: object) -> str | None:
    name = exposure.name or attribute
    target = getattr(static, "__func__", static)
    if attribute in vars(Plugin):
        cure = f"rename the function, and give it @exposed(name={attribute!r}) to keep the name that callers use"
        return f"hides what the server itself uses under that name; {cure}"
    if not callable(target):
        return "is not callable; expose functions only"
    if not _NAME.match(name):
        return f"would answer to {name!r}; a name is letters, digits and underscores"
    if name.startswith("_"):
        return f"would answer to {name!r}; names that start with an underscore stay private, so give it another one"
    wrong = [alias for alias in exposure.aliases if not _FULL_NAME.match(alias)]
    if wrong:
        return f"has the alias {wrong[0]!r}; an alias is names of letters, digits and underscores joined by dots"
    if exposure.quick and inspect.iscoroutinefunction(target):
        return "is `async def` and marked quick; remove one of the two"
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        return "is a generator, which no wire can carry; return a list instead"
    return None


def _settle(plugin: Plugin, settings: Mapping[str, Any] | None) -> str | None:
    """Give the plugin its settings; return what is wrong with them, if anything."""
    wanted = plugin.Settings
    if wanted is None:
        if settings:
            return f"the configuration has a table [plugin.{plugin.name}], but it takes no settings; remove the table"
        return None
    try:
        fields = msgspec.inspect.type_info(wanted).fields  # type: ignore[attr-defined]
    except Exception as error:  # noqa: BLE001 - an annotation is an arbitrary expression
        return f"its Settings cannot be read ({error}); use a dataclass or msgspec.Struct, and import what it names"
    known = {field.encode_name for field in fields}
    unknown = sorted(set(settings or ()) - known)
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        return f"[plugin.{plugin.name}] has the unknown key {unknown[0]!r}; the known ones are: {names}"
    try:
        plugin.settings = msgspec.convert(dict(settings or {}), wanted)
    except msgspec.ValidationError as error:
        return f"[plugin.{plugin.name}] is wrong: {error}"
    except Exception as error:  # noqa: BLE001 - the checks of a Settings class are the plugin's own code
        return f"[plugin.{plugin.name}] cannot be checked: {type(error).__name__}: {error}; correct its Settings"
    return None
