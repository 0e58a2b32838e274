"""How Sphinx builds these pages: `make docs`. Nothing else lives here."""

from __future__ import annotations

import collections.abc
import importlib.metadata
import socket
import ssl
import sys
from pathlib import Path

import anycore.conversations.base
import anycore.conversations.site
import anycore.cores.base
import anycore.kernel.call
import anycore.kernel.method

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generated  # noqa: E402 - found only now

generated.write(HERE / "_build" / "generated")

# autodoc resolves the annotations of structs; these modules import the names in them for type checkers only.
vars(anycore.kernel.call)["Method"] = anycore.kernel.method.Method
vars(anycore.cores.base).update(
    socket=socket,
    ssl=ssl,
    Callable=collections.abc.Callable,
    Peer=anycore.kernel.call.Peer,
    Conversation=anycore.conversations.base.Conversation,
    HttpSite=anycore.conversations.site.HttpSite,
    Greet=collections.abc.Callable,
)

project = "Anycore"
author = "The Anycore authors"
copyright = f"2026, {author}"
release = importlib.metadata.version("anycore")
version = ".".join(release.split(".")[:2])

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
default_role = "code"  # a docstring's `name` is code

smartquotes = False  # two hyphens are an option

html_theme = "furo"
html_title = f"Anycore {release}"
html_copy_source = False
