"""The three levels at which a graph is shown: the user's nodes, the primitives of their formulas, the program."""

from __future__ import annotations

from ..errors import AttributeValueError, near
from ..planned import Planned
from .kernels import kernel_items
from .model import LEVELS, KernelItem, Level, View
from .primitives import primitive_items
from .programs import program_items
from .symbols import symbol_items, title_of


def view_of(planned: Planned, level: Level = "symbol", each: bool = False) -> View:
    """A graph at one level.

    "symbol": the user's variables and nodes. "primitive": what their formulas are made of, before kernels are merged;
    `group` is the user's node. "program": launches of kernels and the arrays that they read and write, each array once
    for every value that it holds. Below "symbol" the instances of one launch are one item with a `count`, or with
    `each` an item for every one.

    AttributeValueError for another level, MissingArgumentError below "symbol" where shapes are not known.
    """
    check_level(level)
    return _view(planned, level, each, kernel_items(planned) if planned.program is not None else ())


def views_of(planned: Planned) -> tuple[View, ...]:
    """The graph at every level that it has."""
    if planned.program is None:
        return (view_of(planned),)
    kernels = kernel_items(planned)
    return tuple(_view(planned, level, False, kernels) for level in LEVELS)


def check_level(level: str) -> None:
    """AttributeValueError if there is no such level."""
    if level not in LEVELS:
        raise AttributeValueError(
            f"level {level!r} must be one of {', '.join(LEVELS)}{near(str(level), LEVELS)}"
        )


def _view(planned: Planned, level: Level, each: bool, kernels: tuple[KernelItem, ...]) -> View:
    if level == "symbol":
        items, links = symbol_items(planned)
    elif level == "primitive":
        items, links = primitive_items(planned, each)
    else:
        items, links = program_items(planned, each)
    return View(level, title_of(planned), items, links, kernels)
