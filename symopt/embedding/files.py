"""Tables in checkpoints: in k files, by n processes, and found again whatever k and n were."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..checkpoint.disk import DISK
from ..checkpoint.progress import Tell
from ..checkpoint.reader import fetch
from ..checkpoint.writer import SHARD_BYTES, store
from ..errors import AttributeValueError, DamagedError, StateError, near
from ..places import HOST
from .state import FORMAT, state_of

if TYPE_CHECKING:
    from .table import Table

_PART = re.compile(r"part-(\d{5})-of-(\d{5})")


def save(
    table: Table,
    path: str | os.PathLike[str],
    files: int,
    part: tuple[int, int] | None,
    keep_expired: bool,
    overwrite: bool,
    meta: Mapping[str, Any] | None,
    progress: Tell | bool | None,
) -> None:
    """See Table.save."""
    what = f"{table.name}.save"
    if isinstance(files, bool) or not isinstance(files, int) or not 1 <= files <= 10_000:
        raise AttributeValueError(f"{what}: files is a number from 1 to 10000, got {files!r}")
    target = os.fspath(path) if part is None else _part_path(os.fspath(path), part, what)
    with table._lock:
        state = state_of(table, files, streamed=True, keep_expired=keep_expired)
        n_blocks = len(state["rows"])
        store(
            target,
            state,
            overwrite=overwrite,
            meta=meta,
            progress=progress,
            shard_bytes=SHARD_BYTES,
            file_of=lambda name: _block_of(name) * files // n_blocks,
        )


def _block_of(name: str) -> int:
    """The number of the block that a tensor belongs to; what is no block goes to the first."""
    first, _, rest = name.partition("/")
    return int(rest.partition("/")[0]) if first == "rows" else 0


def _part_path(path: str, part: tuple[int, int], what: str) -> str:
    numbers = (
        [x for x in part if isinstance(x, int) and not isinstance(x, bool)] if isinstance(part, tuple) else []
    )
    if len(numbers) != 2 or len(part) != 2 or not 0 <= numbers[0] < numbers[1] <= 99_999:
        raise AttributeValueError(f"{what}: part is (k, n), the k-th of n from 0 on, got {part!r}")
    k, n = numbers
    try:
        os.makedirs(path)
        DISK.sync_folder(os.path.dirname(os.path.realpath(path)))
    except FileExistsError:
        pass  # others save their parts there too
    return os.path.join(path, f"part-{k + 1:05d}-of-{n:05d}")


def read(
    path: str | os.PathLike[str], names: Sequence[str], verify: str, progress: Tell | bool | None
) -> dict[str, Mapping[str, Any]]:
    """The states of a table in a checkpoint, or in its parts; by the part's name, which is empty for a whole one."""
    path = os.fspath(path)
    options: dict[str, Any] = {"verify": verify, "mutable": False, "place": HOST, "progress": progress}
    parts = _parts(path)
    if not parts:
        return {"": _table_in(fetch(path, **options), names, path)}
    return {name: _table_in(fetch(os.path.join(path, name), **options), names, path) for name in parts}


def _parts(path: str) -> list[str]:
    """The names of the parts in a folder; DamagedError if it does not have all of one save."""
    if not os.path.isdir(path):
        return []
    found = sorted(name for name in os.listdir(path) if _PART.fullmatch(name))
    if not found:
        return []
    n = int(found[0].rpartition("-")[2])
    expected = [f"part-{k + 1:05d}-of-{n:05d}" for k in range(n)]
    if found != expected:
        wrong = sorted(set(found) ^ set(expected))[0]
        state = "is missing" if wrong in expected else f"is none of {n} parts"
        raise DamagedError(f"{path!r}: {wrong} {state}: all parts must be of one save")
    return expected


def _table_in(tree: Any, names: Sequence[str], path: str) -> Mapping[str, Any]:
    """The state of a table: the tree itself, or what is at the first of the names, such as "tables/user"."""
    if _is_table(tree):
        return tree  # type: ignore[no-any-return]
    there = dict(_tables(tree, ""))
    for name in names:
        if name in there:
            return there[name]
    known = ", ".join(there) or "none"
    raise StateError(
        f"{path!r} has no embedding table called {' or '.join(map(repr, names))}: it has {known}"
        f"{near(names[0], there)}; names= says where to look"
    )


def _tables(tree: Any, at: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if _is_table(tree):
        yield at, tree
        return
    items = (
        tree.items()
        if isinstance(tree, Mapping)
        else enumerate(tree)
        if isinstance(tree, list | tuple)
        else ()
    )
    for name, each in items:
        yield from _tables(each, f"{at}/{name}" if at else str(name))


def _is_table(tree: Any) -> bool:
    return isinstance(tree, Mapping) and isinstance(tree.get("format"), str) and tree["format"] == FORMAT
