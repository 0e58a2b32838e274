"""Reads the access files of ClarensLight: INI, one section for each method, `dn_allowed` in each or for all (spec/clarens.md section 5.2)."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Final

from anycore.access.model import AccessError, Effect, Rule, RuleSet
from anycore.access.subjects import read_subject
from anycore.kernel.patterns import check_name

_SERVICE: Final = "Service:"
_KEYS: Final = ("dn_allowed",)


def read_light(path: Path, service: str) -> RuleSet:
    """Read the access file of a service: a method is open to those whom its section names, others to those of `[DEFAULT]`.

    Args:
        path: The file.
        service: The service: the first part of its methods' names.

    Raises:
        AccessError: With what is wrong.
    """
    parser = _parse(path)
    problems: list[str] = []
    rules: list[Rule] = []
    for section in [*parser.sections(), parser.default_section]:
        whole = section == parser.default_section
        name = service if whole else f"{service}.{section.removeprefix(f'{service}.')}"
        where = f"{path}: [{section}]"
        keys = parser.defaults() if whole else parser[section]
        problems += [f"{where}: {key}: there is no such key; known is: dn_allowed" for key in keys if key not in _KEYS]
        if check_name(name) or "*" in name or "?" in name:
            problems.append(f"{where}: expected the name of a method")
            continue
        try:
            allowed = tuple(
                "authenticated" if dn.strip() == "/" else read_subject(f"dn:{dn.strip().rstrip('/')}")
                for dn in keys.get("dn_allowed", "").splitlines()
                if dn.strip()
            )
        except ValueError as error:
            problems.append(f"{where}: dn_allowed: {error}")
            continue
        rules += _rules(where, name, allowed)
    if problems:
        raise AccessError(problems)
    return RuleSet(name=str(path), sections=(tuple(rules),))


def services(path: Path) -> list[tuple[str, Path]]:
    """Return the services that a configuration of ClarensLight declares, each with its access file; none if it declares none.

    Args:
        path: The configuration.

    Raises:
        AccessError: When it cannot be read.
    """
    parser = _parse(path)
    found = []
    for section in parser.sections():
        if section.startswith(_SERVICE):
            name, file = section.removeprefix(_SERVICE), parser[section].get("access_file", "")
            if not file:
                raise AccessError([f"{path}: [{section}]: it names no access_file, so nobody could call it; add one"])
            found.append((name, path.parent / file))
    return found


def _rules(where: str, name: str, allowed: tuple[str, ...]) -> list[Rule]:
    allow = Rule(
        effect=Effect.ALLOW, patterns=(name,), to=allowed, where=where, text=f"allow {name} to {', '.join(allowed)}"
    )
    deny = Rule(
        effect=Effect.DENY, patterns=(name,), to=("*",), where=where, text=f"deny {name} to all who are not allowed"
    )
    return [allow, deny] if allowed else [deny]


def _parse(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=_Folder(str(path.parent)), delimiters=("=", ":"))
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise AccessError([f"{path}: cannot be read: {error.strerror}; check the path and its permissions"]) from error
    except UnicodeDecodeError as error:
        raise AccessError([f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"]) from error
    except configparser.Error as error:
        raise AccessError([f"{' '.join(str(error).split())}; correct the INI file"]) from error
    return parser


class _Folder(configparser.Interpolation):
    """Puts the folder of the file in place of `%(configdir)s`, and nothing else.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def before_get(self, parser: object, section: str, option: str, value: str, defaults: object) -> str:  # noqa: ARG002
        """Return the value with the folder in it."""
        return value.replace("%(configdir)s", self._folder)
