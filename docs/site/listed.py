"""A pattern in the navigation stands for the pages it matches that are named nowhere in it."""

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any


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
            made.append({k: v if isinstance(v, str) else _expanded(v, free) for k, v in entry.items()})
        else:
            made += [p for p in free if fnmatch(p, entry)] if "*" in entry else [entry]
    return made
