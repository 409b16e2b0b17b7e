"""Text that prints as it is, and that rich draws with its own tables and trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from .plain import columns, padded

RIGHT = frozenset(  # columns of numbers
    (
        *("bytes", "elements", "tensors", "count", "read", "written", "operations each", "predicted"),
        *("runs", "median", "least", "most", "share", "GB/s", "of limit"),
        *("shard", "epoch", "process", "step", "lag", "rows", "in memory", "held", "dups", "gaps", "fenced"),
    )
)
WIDE = frozenset(
    ("name", "op", "inputs", "line", "computes", "for")
)  # these give up room on a narrow terminal


class Text(str):
    """A str whose `__rich__` is the same as a table, tree or text of rich. Shows as it prints, also at a prompt."""

    __slots__ = ("_draw",)
    _draw: Callable[[], Any]

    @classmethod
    def of(cls, *parts: Part) -> Self:
        """Parts one after the other, an empty line between two."""
        made = cls("\n\n".join(part.plain() for part in parts))
        made._draw = lambda: _group(parts)
        return made

    def __repr__(self) -> str:
        return str(self)

    def __rich__(self) -> Any:
        return self._draw() if hasattr(self, "_draw") else _rich_text(self)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)  # copies and pickles are plain


@dataclass(frozen=True)
class Lines:
    """Lines as they are; the first is a heading if there are more and `heading` says so."""

    lines: Sequence[str]
    heading: bool = False

    def plain(self) -> str:
        return "\n".join(self.lines)

    def rich(self) -> Any:
        text = _rich_text(self.plain())
        if self.heading and self.lines:
            text.stylize("bold", 0, len(self.lines[0]))
        return text


@dataclass(frozen=True)
class Table:
    """Rows of text below the names of columns; `notes` are lines below it. A row of one cell goes across."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    notes: Sequence[str] = ()

    def plain(self) -> str:
        widths = [max(map(columns, column)) for column in zip(self.columns, *self._whole(), strict=True)]
        lines = [self.title] if self.title else []
        for row in (self.columns, *self.rows):
            cells = [
                padded(cell, width, name in RIGHT)
                for cell, width, name in zip(row, widths, self.columns, strict=False)
            ]
            lines.append("  ".join(cells if len(row) == len(widths) else row).rstrip())
        return "\n".join([*lines, *self.notes])

    def rich(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table as RichTable

        title = _rich_text(self.title, "bold") if self.title else None
        table = RichTable(
            title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
        )
        for name in self.columns:
            justify: Any = "right" if name in RIGHT else "left"
            wide = name in WIDE
            overflow: Any = "ellipsis" if wide and name != "name" else "fold"
            table.add_column(_rich_text(name), justify=justify, no_wrap=not wide, overflow=overflow)
        for row in self.rows:
            table.add_row(*map(_rich_text, row), style="" if len(row) == len(self.columns) else "dim")
        return Group(table, *map(_rich_text, self.notes))

    def _whole(self) -> list[Sequence[str]]:
        return [row for row in self.rows if len(row) == len(self.columns)]


class Branch(NamedTuple):
    """A line of a tree: how deep it is, its text, and what kind of thing it says ("" or a style of rich)."""

    depth: int
    text: str
    style: str = ""


@dataclass(frozen=True)
class Tree:
    """Lines with a depth each, from 0; one that is deeper than the line before is one deeper."""

    branches: Sequence[Branch]

    def plain(self) -> str:
        return "\n".join(
            guide + branch.text for guide, branch in zip(_guides(self.branches), self.branches, strict=True)
        )

    def rich(self) -> Any:
        from rich.console import Group
        from rich.tree import Tree as RichTree

        tops: list[Any] = []
        path: list[Any] = []
        for depth, text, style in self.branches:
            del path[depth:]
            label = _rich_text(text, style)
            path.append(path[-1].add(label) if path else RichTree(label))
            if depth == 0:
                tops.append(path[0])
        return Group(*tops)


Part = Lines | Table | Tree


def _guides(branches: Sequence[Branch]) -> list[str]:
    """The lines that lead to each branch, made from the last to the first: only then it is known who has a sibling
    below."""
    guides: list[str] = []
    below: list[bool] = []  # by depth: whether a branch of that depth follows under the same parent
    for branch in reversed(branches):
        depth = branch.depth
        below += [False] * (depth + 1 - len(below))
        del below[depth + 1 :]
        trunk = "".join("│  " if below[k] else "   " for k in range(1, depth))
        guides.append(trunk + ("" if not depth else "├─ " if below[depth] else "└─ "))
        below[depth] = True
    return guides[::-1]


def _group(parts: Sequence[Part]) -> Any:
    from rich.console import Group

    drawn: list[Any] = []
    for part in parts:
        drawn += [part.rich(), ""]
    return Group(*drawn[:-1])


def _rich_text(text: str, style: str = "") -> Any:
    """Text that rich takes as it is, markup and all."""
    from rich.text import Text as RichText

    return RichText(str(text), style=style)
