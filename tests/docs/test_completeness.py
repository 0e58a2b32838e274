"""Everything that can be set, called or seen is in the documentation, nothing is in it that does not exist, and every page is linked."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click
import pytest

import anycore
import anycore.clients
import anycore.testing
from anycore.cli.exits import MEANINGS as EXITS
from anycore.cli.root import COMMANDS, main
from anycore.cores import BUILT_IN
from anycore.kernel.authentication import Authenticator
from anycore.kernel.plugin import Role
from anycore.kernel.policy import AccessPolicy
from anycore.settings.keys import PREFIX, SECTIONS, keys
from anycore.wire import faults

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.relative_to(DOCS).parts)
NO_SETTINGS = {"ANYCORE_CONFIG", "ANYCORE_CA_PASSPHRASE", "ANYCORE_PASSWORD", "ANYCORE_TOKEN"}
FOREIGN = {
    "--now",
    "--cacert",
    "--unix-socket",
    "--quick",
    "--http",
    "--no-proxy-headers",
}  # of curl, of the benchmarks, and of uvicorn
PEER = re.compile(r"^\s*(?:\$ )?(?:openssl|curl|uvicorn|granian|gunicorn|git|python|pip)\b.*(?:\\\n.*)*", re.MULTILINE)


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    sys.path.insert(0, str(DOCS))
    try:
        return import_module("generated")
    finally:
        sys.path.remove(str(DOCS))


@pytest.fixture(scope="module")
def text(generated: ModuleType) -> str:
    """All that a reader can read: the pages, with the parts made from the code that they include."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *PAGES])
    for name, make in generated.PARTS.items():
        assert f"_build/generated/{name}\n" in pages, f"no page includes {name}"
        pages += make()
    return pages


def options() -> list[str]:
    found: set[str] = set()
    context = click.Context(main)
    waiting: list[click.Command] = [main]
    while waiting:
        command = waiting.pop()
        if isinstance(command, click.Group):
            names = command.list_commands(context)
            waiting += [one for name in names if (one := command.get_command(context, name)) is not None]
        for param in command.get_params(context):
            found.update(one for one in (*param.opts, *param.secondary_opts) if one.startswith("-"))
    return sorted(found)


def test_every_option(text: str) -> None:
    assert [one for one in options() if not re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", text)] == []


def test_every_command(text: str) -> None:
    assert [name for name in COMMANDS if f"## `anycore {name}`" not in text] == []


def test_every_setting_with_its_variable(text: str) -> None:
    found = [
        path for path, key in keys().items() if f"(setting-{path})=" not in text or f"`{key.variable}`" not in text
    ]
    assert found == []


def test_every_exit_code_and_fault_code(text: str) -> None:
    assert [int(code) for code in EXITS if f"\n| {int(code)} | {EXITS[code]} |" not in text] == []
    assert [
        code
        for code, meaning in faults.MEANINGS.items()
        if not re.search(rf"\| {code} \| `\w+` \| {re.escape(meaning)}", text)
    ] == []


@pytest.mark.parametrize("module", [anycore, anycore.clients, anycore.testing], ids=lambda module: module.__name__)
def test_every_public_name(text: str, module: ModuleType) -> None:
    assert [name for name in module.__all__ if not re.search(rf"auto\w+:: ([\w.]+\.)?{name}\b|`{name}`", text)] == []


def test_every_method_of_the_server(text: str, generated: ModuleType) -> None:
    names = [name for method in generated.system_methods() for name in (method.name, *method.aliases)]
    assert names
    assert [name for name in names if f"`{name}" not in text] == []


def test_every_core(text: str) -> None:
    cores = (DOCS / "explanation" / "cores.md").read_text(encoding="utf-8")
    assert [name for name in BUILT_IN if f"`{name}`" not in cores] == []


def test_every_role_of_plugins_is_named_where_plugins_are_explained() -> None:
    page = (DOCS / "how-to" / "write-a-plugin.md").read_text()
    roles = [role for role in Role.__subclasses__() if role.__module__.startswith("anycore.kernel.")]
    assert {AccessPolicy, Authenticator} <= set(roles)
    assert [role for role in roles if f"`{role.__module__}.{role.__name__}`" not in page] == []


def test_every_status_of_the_code_is_explained() -> None:
    page = (DOCS / "reference" / "http.md").read_text(encoding="utf-8")
    sources = [*(ROOT / "src/anycore/wire").glob("http1*.py"), *(ROOT / "src/anycore/conversations").glob("*.py")]
    found = {
        status
        for path in sources
        if path.stem != "http1_client"
        for status in re.findall(
            r"(?:RemoteProtocolError\(.*, |reply\(|_blame\()([2-5]\d\d)\b", path.read_text(encoding="utf-8")
        )
    }
    assert len(found) > 10
    assert sorted(status for status in found if f"\n| {status} |" not in page) == []


def test_nothing_that_does_not_exist(text: str) -> None:
    variables = {key.variable for key in keys().values()} | NO_SETTINGS
    assert sorted(set(re.findall(rf"{PREFIX}[A-Z0-9_]+", text)) - variables) == []
    own = PEER.sub("", text)
    known = {*options(), *FOREIGN}
    assert sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", own)) - known) == []
    tables = {section.table for section in SECTIONS}
    named = set(re.findall(r"`(\[\[?\w+\]\]?)`", text))
    assert named - tables == set()


def test_every_page_is_linked_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            names = [line for line in tree.splitlines() if line and not line.startswith(":")]
            waiting += [page.parent / f"{name}.md" for name in names]
    assert {page for page in reached if not page.exists()} == set()
    assert [str(page.relative_to(DOCS)) for page in PAGES if page not in reached] == []


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 10
    assert [
        link for link in links if not link.startswith("http") and not (ROOT / link.partition("#")[0]).exists()
    ] == []


@pytest.mark.parametrize("command", ["serve", "test", "docs", "bench"])
def test_targets_that_the_pages_name_exist(command: str) -> None:
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_pictures_are_small() -> None:
    assert [path.name for path in (DOCS / "images").iterdir() if path.stat().st_size > 200_000] == []
