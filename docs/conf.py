"""How Sphinx builds these pages: `make docs`. Nothing else lives here."""

from __future__ import annotations

import importlib.metadata

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

html_theme = "furo"
html_title = f"Anycore {release}"
html_copy_source = False
