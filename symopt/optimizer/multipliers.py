"""Factors on the learning rate and decay of single parameters, and whether they are what they were."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .optimizer import Optimizer

both = attrgetter("lr_mult", "wd_mult")


def of_symbol(sym_info: Any, key: str) -> dict[Any, float]:
    """The multipliers that the arguments of a Symbol have as attributes."""
    attrs, names = sym_info or ({}, ())
    return {name: float(attrs[name][key]) for name in names if key in attrs.get(name, ())}


def multipliers(optimizer: Optimizer, indices: Sequence[Any]) -> tuple[list[float], list[float]]:
    """Factors on rates and on decays: of the parameter's object, else by index, else by name, else 1."""
    found: tuple[list[float], list[float]] = ([], [])
    tables = optimizer.lr_mult, optimizer.wd_mult
    for index in indices:
        name, part = optimizer.idx2name.get(index), optimizer.param_dict.get(index)
        own = (None, None) if part is None else both(part)
        for out, table, factor in zip(found, tables, own, strict=True):
            out.append(table.get(index, table.get(name, 1.0)) if factor is None else factor)
    return found


class Facts:
    """What cohorts and graphs were made from; `hold` says whether it is still so, at little cost."""

    __slots__ = ("lr_mult", "names", "objects", "options", "own", "wd_mult")

    def __init__(self, optimizer: Optimizer) -> None:
        self.options = optimizer.engine, optimizer.multi_precision
        self.lr_mult, self.wd_mult = dict(optimizer.lr_mult), dict(optimizer.wd_mult)
        self.names, self.objects = dict(optimizer.idx2name), dict(optimizer.param_dict)
        self.own = list(map(both, self.objects.values()))

    def hold(self, optimizer: Optimizer) -> bool:
        return bool(
            optimizer.lr_mult == self.lr_mult
            and optimizer.wd_mult == self.wd_mult
            and optimizer.idx2name == self.names
            and optimizer.param_dict == self.objects
            and list(map(both, self.objects.values())) == self.own
            and (optimizer.engine, optimizer.multi_precision) == self.options
        )
