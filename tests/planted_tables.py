"""Bugs to plant in the tables that the host makes of chunks, numbers, results and copies."""

from collections.abc import Callable
from typing import Any

from planted import Bug

from symopt.backends.cuda import geometry, launch


def table_bug(change: Callable[[Any], None], owner: type = launch.CudaLaunch, method: str = "_fill") -> Bug:
    """`change` is done to the object after a method of it."""

    def plant() -> None:
        original = getattr(owner, method)

        def changed(self: Any, *args: Any) -> None:
            original(self, *args)
            change(self)

        setattr(owner, method, changed)

    return Bug(tables=plant)


def fields_bug(**fields: Callable[[Any], Any]) -> Bug:
    """Columns of the table of chunks replaced by functions of the table."""

    def change(one: launch.CudaLaunch) -> None:
        rows = one._table.host
        for field, value in fields.items():
            rows[field] = value(rows)

    return table_bug(change)


def whole_chunks(chunks: geometry.Chunks) -> None:
    chunks.count[:] = chunks.count.max(initial=0)


def shared_numbers(one: launch.CudaLaunch) -> None:
    one.numbers["stride"] = 0


def parts_apart(one: launch.CudaLaunch) -> None:
    if one._folds is not None:
        one._folds.host["n"] -= one._folds.host["n"] > 1


def as_many_entries(one: launch.CudaLaunch) -> None:
    one._uncut = False


def as_placed(one: launch.CudaLaunch) -> None:
    one._stale = False


def as_numbered(one: launch.CudaLaunch) -> None:
    one._rows_of_numbers.changed = False


def as_copied(one: Any) -> None:
    one.first_copies = getattr(one, "first_copies", one._copies.host.copy())
    one._copies.host[:] = one.first_copies


def as_summed(one: launch.CudaLaunch) -> None:
    if one._folds is not None:
        one._folds.changed = False


ALIGNED = fields_bug(aligned=lambda rows: 1)
