"""The frame of every page: HTML without scripts, one style sheet, and headers that forbid everything else."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6570;--line:#d9dee3;--paper:#fff;--tint:#f4f6f8;--accent:#0b66c2}
@media(prefers-color-scheme:dark){:root{--ink:#e7eaee;--soft:#98a2ad;--line:#333b44;--paper:#15191d;--tint:#1d2329;--accent:#6cb6ff}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
header,main{max-width:62rem;margin:auto;padding:1.2rem}header{border-bottom:1px solid var(--line)}
h1{font-size:1.5rem;margin:0}h2{font-size:1.2rem;margin:2rem 0 .6rem}h3{font-size:1rem;margin:1.2rem 0 .2rem}
p{margin:.3rem 0}.soft{color:var(--soft)}code,pre{font:.9em/1.45 ui-monospace,monospace}
pre{background:var(--tint);border:1px solid var(--line);border-radius:6px;padding:.7rem;overflow-x:auto}
pre.help{background:none;border:0;padding:0;margin:.2rem 0;white-space:pre-wrap;font-family:inherit;font-size:1em}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;white-space:nowrap}td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
section.method{border-bottom:1px solid var(--line);padding-bottom:.8rem}section.method h3 code{font-size:1em;overflow-wrap:anywhere}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
""".strip()

_HASH: Final = b64encode(sha256(STYLE.encode()).digest()).decode()

HEADERS: Final = (
    ("Content-Security-Policy", f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)  # fmt: skip

HTML: Final = "text/html; charset=utf-8"


def page(title: str, subtitle: str, body: str) -> str:
    """Return a whole page.

    Args:
        title: Plain text.
        subtitle: Plain text.
        body: HTML.
    """
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head>\n<body><header><h1>{escape(title)}</h1>"
        f'<p class="soft">{escape(subtitle)}</p></header>\n<main>\n{body}\n</main></body></html>\n'
    )


def table(rows: list[tuple[str, str]]) -> str:
    """Return a table of names and values; both are plain text."""
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"
