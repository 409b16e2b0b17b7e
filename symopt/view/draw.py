"""A graph drawn to a file, by the ending of its name; and in a notebook."""

from __future__ import annotations

import html
import os
from pathlib import Path

from ..errors import AttributeValueError, SymoptError, near
from ..files import write_whole
from ..planned import Planned
from .levels import check_level, view_of, views_of
from .model import Level
from .page import draw_page, page

PAGES = (".html", ".htm")
TEXTS = (".dot", ".gv")
PICTURES = (".svg", ".png", ".pdf")
IN_A_CELL = 3000  # items; of larger graphs a notebook gets a sentence
HEIGHT = 560  # pixels of a cell


def draw(planned: Planned, path: str | os.PathLike[str], level: Level = "symbol") -> None:
    """Draw a graph to a file: .html is one page that shows every level there is, and `level` first; .dot and .gv are
    text for Graphviz; .svg, .png and .pdf are drawn by its program `dot`.

    AttributeValueError for another ending or level, MissingArgumentError for a level that shapes are missing for.
    """
    ending = Path(path).suffix.lower()
    known = (*PAGES, *TEXTS, *PICTURES)
    if ending not in known:
        raise AttributeValueError(
            f"cannot draw {os.fspath(path)!r}: its name must end in {', '.join(known)}{near(ending, known)}"
        )
    if ending in PAGES:
        check_level(level)
        if level != "symbol":
            planned.needed()
        views = views_of(planned)
        draw_page(path, views, views[0].title, level)
        return
    view = view_of(planned, level)
    from .dot import render, to_dot

    if ending in TEXTS:
        write_whole(path, to_dot(view).encode())
    else:
        render(to_dot(view), path)


def in_notebook(planned: Planned) -> str:
    """The page in a frame that has no rights but to run its script; of a large graph a sentence."""
    n_items = len(planned.types.order)
    if n_items > IN_A_CELL:
        return _said(f"a graph of {n_items:,} nodes: draw('graph.html', ...) makes a page of it")
    views = views_of(planned)
    text = html.escape(page(views, views[0].title))
    style = f"width: 100%; height: {HEIGHT}px; border: 1px solid #8884; border-radius: 6px"
    return f'<iframe sandbox="allow-scripts" title="graph" style="{style}" srcdoc="{text}"></iframe>'


def refused_in_notebook(error: SymoptError) -> str:
    """What a cell shows of a graph that cannot be drawn: why."""
    return _said(str(error))


def _said(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"
