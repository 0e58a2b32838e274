"""The rules about attributes: against the original's, on the same objects, and what ours adds."""

from __future__ import annotations

import random
import types
from typing import Any

import pytest
import rpyc

from anycore.objects.config import make_config
from anycore.objects.policy import AttributePolicy, RuledPolicy
from anycore.testing.linked import linked
from anycore.wire import rpyc_constants as wire


class Plain:
    """Some of everything."""

    exposed_shown = "shown"
    both = "plain"
    exposed_both = "exposed"
    public = "public"
    _private = "private"

    def __init__(self) -> None:
        self.exposed_own = "own"
        self.dual = "dual"

    def exposed_method(self) -> str:
        return "method"

    @property
    def exposed_prop(self) -> str:
        return "prop"

    @property
    def exposed_broken(self) -> str:
        raise LookupError("broken")

    @property
    def exposed_absent(self) -> str:
        raise AttributeError("absent")

    def __len__(self) -> int:
        return 3


class Child(Plain):
    """Inherits."""

    public = "child"


class Slotted:
    """Has no dictionary."""

    __slots__ = ("exposed_a", "exposed_unset", "plain")

    def __init__(self) -> None:
        self.exposed_a = "a"
        self.plain = "plain"


class Dynamic:
    """Makes attributes up."""

    def __getattr__(self, name: str) -> str:
        if name in ("exposed_made", "made_public"):
            return name
        raise AttributeError(name)


class Ruled:
    """Has rules of its own."""

    secret = "secret"

    def _rpyc_getattr(self, name: str) -> Any:
        if name == "given":
            return "given"
        raise AttributeError(name)

    def _rpyc_setattr(self, name: str, value: Any) -> None:
        raise AttributeError("no")


def module() -> types.ModuleType:
    made = types.ModuleType("made")
    made.exposed_thing = "thing"  # type: ignore[attr-defined]
    made.other = "other"  # type: ignore[attr-defined]
    return made


MAKERS: dict[str, Any] = {
    "plain": Plain, "child": Child, "cls": lambda: Child, "slotted": Slotted, "dynamic": Dynamic, "ruled": Ruled, "module": module,
    "list": lambda: [1, 2], "dict": lambda: {"a": 1},
}  # fmt: skip
NAMES = [
    "shown", "exposed_shown", "both", "exposed_both", "public", "_private", "own", "exposed_own", "dual", "method", "prop",
    "exposed_prop", "broken", "absent", "nothing", "exposed_nothing", "__len__", "__dict__", "a", "unset", "plain", "made", "made_public",
    "given", "secret", "thing", "other", "append", "keys", "__getitem__", "__init__", "mro", "__name__", "",
]  # fmt: skip
SWITCHES = [
    "allow_safe_attrs",
    "allow_exposed_attrs",
    "allow_public_attrs",
    "allow_all_attrs",
    "allow_getattr",
    "allow_setattr",
    "allow_delattr",
]


class Holder(rpyc.Service):
    """Hands out the objects, whatever the rules."""

    def __init__(self) -> None:
        self.held = {name: make() for name, make in MAKERS.items()}

    def _rpyc_getattr(self, name: str) -> Any:
        return self.held[name]


def outcome(function: Any, *args: Any) -> Any:
    try:
        value = function(*args)
    except Exception as error:  # noqa: BLE001 - compared
        return type(error).__name__
    return value if isinstance(value, str | int | None) else "object"


def look(conn: Any, held: dict[str, Any], chance: random.Random) -> list[Any]:
    seen: list[Any] = []
    for key in MAKERS:
        proxy = getattr(conn.root, key)
        seen += [(key, name, outcome(getattr, proxy, name)) for name in NAMES]
        if key in ("plain", "slotted", "ruled", "dynamic"):
            for name in chance.sample(NAMES, 6):
                seen.append((key, "set", name, outcome(setattr, proxy, name, "new")))
                seen.append((key, "get", name, outcome(getattr, proxy, name)))
                seen.append((key, "del", name, outcome(delattr, proxy, name)))
            seen.append(sorted(getattr(held[key], "__dict__", ())))
    return seen


def configurations() -> list[dict[str, Any]]:
    chance = random.Random(5)
    made: list[dict[str, Any]] = [
        {},
        {"allow_public_attrs": True},
        {"allow_all_attrs": True, "allow_setattr": True, "allow_delattr": True},
    ]
    made += [{switch: chance.random() < 0.6 for switch in SWITCHES} for _ in range(6)]
    made += [{"exposed_prefix": "both"}, {"safe_attrs": {"public", "keys"}}]
    return made


@pytest.mark.parametrize(
    "config",
    configurations(),
    ids=lambda config: " ".join(f"{key[6:]}={value}" for key, value in config.items()) or "default",
)
def test_the_rules_are_those_of_the_original(config: dict[str, Any]) -> None:
    theirs, ours = Holder(), Holder()
    conn = rpyc.connect_thread(remote_service=theirs, remote_config=dict(config))
    try:
        expected = look(conn, theirs.held, random.Random(1))
    finally:
        conn.close()
    with linked(ours, config=dict(config)) as (client, _):
        found = look(client, ours.held, random.Random(1))
    assert found == expected


class Counting:
    """Counts how often a property runs."""

    def __init__(self) -> None:
        self.runs = 0

    @property
    def exposed_prop(self) -> int:
        self.runs += 1
        return self.runs


def test_a_property_runs_once_per_read() -> None:
    policy, obj = AttributePolicy(make_config()), Counting()
    assert [policy.get(obj, "prop"), policy.get(obj, "prop"), policy.get(obj, "exposed_prop")] == [1, 2, 3]


def test_names_may_be_bytes_and_nothing_else() -> None:
    policy = AttributePolicy(make_config())
    assert policy.get(Plain(), b"shown") == "shown"
    for name in (5, None, ("shown",)):
        with pytest.raises(TypeError, match="text"):
            policy.get(Plain(), name)
    with pytest.raises(UnicodeDecodeError):
        policy.get(Plain(), b"\xff")


def test_a_refusal_names_the_cure() -> None:
    policy = AttributePolicy(make_config())
    with pytest.raises(AttributeError, match=r"cannot access 'public' of 'Plain': .*allow_public_attrs"):
        policy.get(Plain(), "public")
    with pytest.raises(AttributeError, match="allow_setattr is off"):
        policy.set(Plain(), "exposed_shown", 1)


def test_the_configuration_is_read_at_each_question() -> None:
    config = make_config()
    policy = AttributePolicy(config)
    with pytest.raises(AttributeError):
        policy.get(Plain(), "public")
    config["allow_public_attrs"] = True
    assert policy.get(Plain(), "public") == "public"


def test_an_empty_prefix_exposes_what_is_public() -> None:
    policy = AttributePolicy(make_config({"exposed_prefix": ""}))
    assert policy.get(Plain(), "public") == "public"
    with pytest.raises(AttributeError, match="cannot access"):
        policy.get(Plain(), "_private")


@pytest.mark.parametrize("use", ["call", "repr", "str", "hash", "dir", "iterate", "pickle"])
def test_every_use_can_be_forbidden(use: str) -> None:
    asked: list[str] = []

    def permit(what: str, obj: object) -> bool:
        asked.append(what)
        return what != use

    config = {"allow_all_attrs": True, "allow_pickle": True, "permit": permit}
    with linked(Plain(), config=config) as (conn, _):
        root = conn.root
        doings: dict[str, Any] = {
            "call": root.exposed_method, "repr": lambda: repr(root), "str": lambda: str(root), "hash": lambda: hash(root),
            "dir": lambda: dir(root), "iterate": lambda: conn.sync_request(wire.BUFFITER, root, 1),
            "pickle": lambda: conn.sync_request(wire.PICKLE, root, 2),
        }  # fmt: skip
        with pytest.raises(PermissionError, match=f"cannot {use}"):
            doings[use]()
        assert use in asked


def ruled(verdicts: dict[str, bool], **config: Any) -> RuledPolicy:
    """A policy with rules by name."""
    return AttributePolicy(make_config(config)).ruled(lambda _, name: verdicts.get(name))


def test_rules_that_say_nothing_change_nothing() -> None:
    policy = ruled({})
    assert policy.get(Plain(), "shown") == "shown"
    assert policy.get(Plain(), b"shown") == "shown"
    for name in ("public", "_private", "__class__", b"\xff", 5):
        with pytest.raises((AttributeError, TypeError, ValueError)):
            policy.get(Plain(), name)
    policy.check("call", len)


def test_rules_open_public_names_for_reading_only() -> None:
    policy = ruled({"public": True, "_private": True, "__class__": True, "missing": True, "shown": True})
    assert policy.get(Plain(), "public") == "public"
    assert policy.get(Plain(), "shown") == "shown"
    for name in ("_private", "__class__", "missing"):
        with pytest.raises(AttributeError, match="cannot access"):
            policy.get(Plain(), name)
    with pytest.raises(AttributeError, match="allow_setattr is off"):
        policy.set(Plain(), "public", 1)
    with pytest.raises(AttributeError, match="allow_delattr is off"):
        policy.delete(Plain(), "public")
    with pytest.raises(AttributeError, match="allow_getattr is off"):
        ruled({"public": True}, allow_getattr=False).get(Plain(), "public")


def test_rules_close_whatever_the_configuration_opens() -> None:
    policy = ruled({"shown": False, "__eq__": False}, allow_all_attrs=True, allow_setattr=True, allow_delattr=True)
    for act in (policy.get, policy.delete, lambda obj, name: policy.set(obj, name, 1)):
        with pytest.raises(AttributeError, match="a rule of the side that owns the object denies it"):
            act(Plain(), "shown")
        with pytest.raises(AttributeError, match="a rule of the side"):
            act(Plain(), b"shown")
    with pytest.raises(AttributeError, match="a rule of the side"):
        policy.operator(Plain(), "__eq__")
    assert policy.get(Plain(), "public") == "public"


class Hooked:
    def _rpyc_getattr(self, name: str) -> str:
        return f"hook {name}"

    open = "open"


def test_rules_do_not_get_round_a_hook_of_the_object_but_can_close_it() -> None:
    assert ruled({"open": True}).get(Hooked(), "open") == "hook open"
    with pytest.raises(AttributeError, match="a rule"):
        ruled({"open": False}).get(Hooked(), "open")


@pytest.mark.parametrize(
    ("use", "name"),
    [
        ("call", "__call__"), ("repr", "__repr__"), ("str", "__str__"), ("hash", "__hash__"), ("dir", "__dir__"), ("iterate", "__next__"),
        ("pickle", "__reduce_ex__"),
    ],
)  # fmt: skip
def test_rules_close_other_uses(use: str, name: str) -> None:
    ruled({}).check(use, Plain())
    with pytest.raises(PermissionError, match=f"cannot {use} this 'Plain': a rule"):
        ruled({name: False}).check(use, Plain())


def test_the_configuration_may_change_under_rules() -> None:
    policy = ruled({})
    policy.use(make_config({"allow_public_attrs": True}))
    assert policy.get(Plain(), "public") == "public"
