"""Which attributes and calls a peer may reach: one object, asked at one place (spec/rpyc.md section 14)."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HOOKS = {"get": "_rpyc_getattr", "set": "_rpyc_setattr", "del": "_rpyc_delattr"}
_SWITCHES = {"get": "allow_getattr", "set": "allow_setattr", "del": "allow_delattr"}
_PLAIN_LOOKUPS = (object.__getattribute__, type.__getattribute__, ModuleType.__getattribute__)
_ACTIONS: dict[str, Callable[..., Any]] = {"get": getattr, "set": setattr, "del": delattr}
_SPECIAL = {
    "call": "__call__",
    "repr": "__repr__",
    "str": "__str__",
    "hash": "__hash__",
    "dir": "__dir__",
    "iterate": "__next__",
    "pickle": "__reduce_ex__",
}


class AttributePolicy:
    """The rules of one connection.

    Args:
        config: The connection's configuration; read at each question, because it may change while the connection lives.
    """

    __slots__ = ("_config",)

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config

    def use(self, config: Mapping[str, Any]) -> None:
        """Go by another configuration from now on."""
        self._config = config

    def ruled(self, judge: Callable[[Any, str], bool | None]) -> RuledPolicy:
        """Return the same policy, under rules of the operator; see `RuledPolicy`.

        Args:
            judge: Asked about each attribute and each use.
        """
        return RuledPolicy(self._config, judge)

    def get(self, obj: Any, name: Any) -> Any:
        """Read an attribute for the peer.

        Raises:
            AttributeError: When the rules forbid it, or there is none.
            TypeError: When the name is neither text nor UTF-8.
        """
        return self._act("get", obj, name)

    def set(self, obj: Any, name: Any, value: Any) -> None:
        """Set an attribute for the peer; raises as `get` does."""
        self._act("set", obj, name, value)

    def delete(self, obj: Any, name: Any) -> None:
        """Delete an attribute for the peer; raises as `get` does."""
        self._act("del", obj, name)

    def check(self, use: str, obj: Any) -> None:
        """Decide whether the peer may make some use of an object that it holds; asked before every such use.

        As in RPyC, it may make any use of what was handed to it, unless the configuration's `permit` says otherwise: a function
        that is given the use and the object and returns whether to let it.

        Args:
            use: `call`, `repr`, `str`, `hash`, `dir`, `iterate` or `pickle`.
            obj: What it is about.

        Raises:
            PermissionError: When it may not.
        """
        permit = self._config["permit"]
        if permit is not None and not permit(use, obj):
            message = f"cannot {use} this {type(obj).__name__!r}: the side that owns the object does not permit it"
            raise PermissionError(message)

    def operator(self, obj: Any, name: str) -> Callable[..., Any]:
        """Return a special method of the object's type, as comparisons look it up.

        Raises:
            AttributeError: When the rules forbid it, or there is none.
        """
        found: Callable[..., Any] = self._act("get", type(obj), name)
        return found

    def _act(self, action: str, obj: Any, name: Any, *value: Any) -> Any:
        if isinstance(name, bytes):
            name = name.decode()
        if type(name) is not str:
            message = f"an attribute name is text, not {type(name).__name__}"
            raise TypeError(message)
        hook = getattr(type(obj), _HOOKS[action], None)
        if hook is not None:
            return hook(obj, name, *value)
        return _ACTIONS[action](obj, self._permitted(action, obj, name), *value)

    def _permitted(self, action: str, obj: Any, name: str) -> str:
        """Return the name under which an attribute may be reached: its own, or with the prefix in front."""
        config = self._config
        if not config[_SWITCHES[action]]:
            message = f"cannot access {name!r}: {_SWITCHES[action]} is off on the side that owns the object"
            raise AttributeError(message)
        # With an empty prefix every public name is exposed. In RPyC every name is, private ones too, which nobody can have meant.
        prefix: str | None = config["exposed_prefix"] if config["allow_exposed_attrs"] else None
        plain = (
            config["allow_all_attrs"]
            or (prefix and name.startswith(prefix))
            or (config["allow_safe_attrs"] and name in config["safe_attrs"])
            or ((config["allow_public_attrs"] or prefix == "") and not name.startswith("_"))
        )
        prefixed = prefix + name if prefix and _has(obj, prefix + name) else ""
        if plain and (not prefixed or _has(obj, name)):
            return name
        if prefixed:
            return prefixed
        if plain:
            return name
        message = (
            f"cannot access {name!r} of {type(obj).__name__!r}: the side that owns the object exposes neither it nor"
            f" {config['exposed_prefix'] + name!r}; mark it with @exposed there, or set allow_public_attrs there"
        )
        raise AttributeError(message)


class RuledPolicy(AttributePolicy):
    """The same, where rules of the operator may close what the configuration opens, and open public names that it does not.

    Args:
        config: As for `AttributePolicy`.
        judge: Given an object and the name of an attribute, returns whether the rules open or close it, or None where they say nothing. For
            other uses of an object the name is that of the special method.
    """

    __slots__ = ("_judge",)

    def __init__(self, config: Mapping[str, Any], judge: Callable[[Any, str], bool | None]) -> None:
        super().__init__(config)
        self._judge = judge

    def check(self, use: str, obj: Any) -> None:
        """Decide about a use of an object; see `AttributePolicy.check`."""
        super().check(use, obj)
        if self._judge(obj, _SPECIAL[use]) is False:
            message = f"cannot {use} this {type(obj).__name__!r}: a rule of the side that owns the object denies it"
            raise PermissionError(message)

    def _act(self, action: str, obj: Any, name: Any, *value: Any) -> Any:
        text = name.decode() if isinstance(name, bytes) else name
        if type(text) is not str:
            return super()._act(action, obj, name, *value)
        verdict = self._judge(obj, text)
        if verdict is False:
            message = (
                f"cannot access {text!r} of {type(obj).__name__!r}: a rule of the side that owns the object denies it"
            )
            raise AttributeError(message)
        if verdict and action == "get" and text[:1] != "_" and self._config["allow_getattr"]:
            hook = getattr(type(obj), _HOOKS[action], None)
            if hook is None and _has(obj, text):
                return getattr(obj, text)
        return super()._act(action, obj, text, *value)


def _has(obj: Any, name: str) -> bool:
    """Tell whether an object has an attribute, without running a property for the answer."""
    cls: Any = type(obj)
    if _in_classes(cls, name):
        return True
    if cls.__getattribute__ not in _PLAIN_LOOKUPS or hasattr(cls, "__getattr__"):
        return hasattr(obj, name)
    if issubclass(cls, type) and _in_classes(obj, name):
        return True
    if cls is ModuleType:
        return hasattr(obj, name)  # it may have a __getattr__ of its own
    return name in getattr(obj, "__dict__", ())


def _in_classes(cls: type, name: str) -> bool:
    for base in cls.__mro__:  # noqa: SIM110 - any() with a generator takes twice as long
        if name in base.__dict__:
            return True
    return False
