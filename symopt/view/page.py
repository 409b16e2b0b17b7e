"""One HTML file that shows a graph: it needs no server, no network and no program but a browser.

Names come from users and files, so they are hostile. They reach the page as JSON in an element that is not run, and as
escaped text; a content security policy lets only the scripts and the style sheet run whose hashes it lists, and no
request go out.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from ..files import write_whole
from .alike import find_alike
from .model import Level, View
from .pagedata import encode
from .pagetable import plain_table, shown

LIBRARIES = ("cytoscape.min.js", "dagre.min.js")
SCRIPTS = (
    "data.js", "fold.js", "arrange.js", "look.js", "edges.js", "drawing.js", "parts.js", "panel.js", "code.js",
    "list.js", "keys.js", "main.js",
)  # fmt: skip
STYLES = ("colours.css", "layout.css", "panel.css", "print.css")


def page(views: Sequence[View], title: str, start: Level | None = None) -> str:
    """The whole page as text. `start`: the level shown first, of those in `views`; else the first."""
    alike = [find_alike(view) for view in views]
    tables = (plain_table(view, found.classes) for view, found in zip(views, alike, strict=True))
    parts = {
        "title": html.escape(shown(title)),
        "policy": _policy(),
        "style": _style(),
        "table": "\n".join(tables),
        "data": _json(encode(views, alike, title) | {"start": start}),
        "scripts": "\n".join(f"<script>{text}</script>" for text in _scripts()),
    }
    pieces = _template().split("%%")  # text, name, text, name, ..., text
    pieces[1::2] = [parts[name] for name in pieces[1::2]]
    return "".join(pieces)


def draw_page(
    path: str | os.PathLike[str], views: Sequence[View], title: str, start: Level | None = None
) -> None:
    """Write the page to a file, whole or not at all."""
    write_whole(path, page(views, title, start).encode())


def _json(data: Any) -> str:
    """JSON that may stand between tags: ASCII, and without a character that HTML gives a meaning."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


@cache
def _template() -> str:
    return _asset("page.html")


@cache
def _scripts() -> tuple[str, ...]:
    """Libraries with their licences, then our own script: its files share one scope, in this order."""
    own = "\n".join(_asset(name) for name in SCRIPTS)
    return (*(_library(name) for name in LIBRARIES), f'(function () {{\n"use strict";\n{own}\n}})();')


def _library(name: str) -> str:
    """A library's code, without the address of its source map, which a browser's tools would ask for."""
    licence = _asset(f"{name.split('.')[0]}.LICENSE.txt").strip()
    return f"/*!\n{licence}\n*/\n{re.sub(r'//# sourceMappingURL=.*', '', _asset(name))}"


@cache
def _style() -> str:
    return "\n".join(_asset(name) for name in STYLES)


@cache
def _policy() -> str:
    """Nothing but our scripts and styles, and no request at all."""
    scripts = " ".join(_hash(text) for text in _scripts())
    return (
        f"default-src 'none'; script-src {scripts}; style-src {_hash(_style())}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
