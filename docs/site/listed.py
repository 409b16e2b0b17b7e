"""Lists that follow from which pages there are.

A pattern in the navigation stands for the pages it matches that are named nowhere in it. In a page,
`<!-- pages of this folder -->` is a list of the others there, each with its first sentence.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

HERE = "<!-- pages of this folder -->"


def on_config(config: Any) -> Any:
    """Put the pages in place of their patterns: in the order of the alphabet, folders' own pages first."""
    docs = Path(config.docs_dir)
    pages = sorted(
        (p.relative_to(docs).as_posix() for p in docs.rglob("*.md")),
        key=lambda name: (name.rpartition("/")[0], not name.endswith(("index.md", "README.md")), name),
    )
    named = set(_names(config.nav))
    config.nav = _expanded(config.nav, [p for p in pages if p not in named])
    return config


def _names(nav: Any) -> Iterator[str]:
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from [value] if isinstance(value, str) else _names(value)


def _expanded(nav: list[Any], free: list[str]) -> list[Any]:
    made: list[Any] = []
    for entry in nav:
        if isinstance(entry, dict):
            parts = {k: v if isinstance(v, str) else _expanded(v, free) for k, v in entry.items()}
            made += [{k: v} for k, v in parts.items() if v]  # nothing is left of a section without pages
        else:
            made += [p for p in free if fnmatch(p, entry)] if "*" in entry else [entry]
    return made


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Put the list in place of its mark."""
    if HERE not in markdown:
        return markdown
    own = Path(config.docs_dir) / page.file.src_uri
    return markdown.replace(HERE, "\n".join(_line(p) for p in sorted(own.parent.glob("*.md")) if p != own))


def _line(path: Path) -> str:
    title, _, rest = path.read_text(encoding="utf-8").partition("# ")[2].partition("\n")
    paragraph = " ".join(rest.strip().partition("\n\n")[0].split())
    sentence = re.split(r"(?<=[.:?])\s", paragraph)[0].rstrip(":")
    about = "" if sentence.startswith(("```", "|", "#", "<", "!")) else f": {sentence}"
    return f"* [{title.strip()}]({path.name}){about}"
