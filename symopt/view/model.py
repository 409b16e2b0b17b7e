"""A graph as it is shown, at one of three levels: plain data, from which every text and drawing is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..errors import Where

Level = Literal["symbol", "primitive", "program"]
LEVELS: tuple[Level, ...] = ("symbol", "primitive", "program")

# What an item is: a variable (an argument), a state (an auxiliary one), a number of the host; an op of the user's, a
# primitive of a formula; a launch of a kernel, an array that launches pass on.
Kind = Literal["variable", "state", "number", "op", "primitive", "kernel", "array"]


@dataclass(frozen=True, slots=True)
class Item:
    """A node of a shown graph.

    `shape` (-1: not known), `dtype`, `stype` are of what it makes, None if unknown; `bytes` that value's size.
    `kernels`: numbers of the View's kernels that compute it. `group`: the user's node that a primitive belongs to, else
    "". `formula`: lines of mathematics. `attrs`: as text, without hidden ones. `count`: how many alike this stands for.
    """

    kind: Kind
    op: str
    name: str
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    stype: str | None = None
    bytes: int | None = None
    kernels: tuple[int, ...] = ()
    group: str = ""
    formula: tuple[str, ...] = ()
    attrs: Mapping[str, str] = field(default_factory=dict)
    where: Where | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Link:
    """Output `output` of item `source` is input `port` of item `target`; items by their position in the View."""

    source: int
    target: int
    port: int = 0
    output: int = 0


@dataclass(frozen=True, slots=True)
class KernelItem:
    """A launch: one kernel on every tensor that it runs on at once.

    `over`: what it does its formula for, "each element", ...; `bytes` read and written in a step; `formula`: lines
    after simplification; `code`: by form, "text", "llvm", "cuda"; `seconds` a step, measured, None if it was not;
    `predicted` seconds, None if this machine's bandwidth is not known.
    """

    number: int
    name: str
    over: str
    tensors: int
    elements: int
    bytes: int
    formula: tuple[str, ...] = ()
    code: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    predicted: float | None = None


@dataclass(frozen=True, slots=True)
class View:
    """A graph at one level. Items come after the items that they read: links lead forward, there are no cycles."""

    level: Level
    title: str
    items: tuple[Item, ...]
    links: tuple[Link, ...]
    kernels: tuple[KernelItem, ...] = ()
