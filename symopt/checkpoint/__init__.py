"""Checkpoints: folders of safetensors files and a manifest, saved whole and durably, checked when loaded.

>>> import tempfile, numpy as np, symopt as so
>>> folder = tempfile.mkdtemp()
>>> so.save(f"{folder}/first", {"w": np.ones((2, 3)), "step": 7})
>>> so.load(f"{folder}/first")["step"]
7
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..context import Context
from ..errors import AttributeValueError
from ..places import HOST, place_of
from .into import load_into
from .progress import Tell
from .reader import Info, fetch, read_info
from .series import Series
from .writer import SHARD_BYTES, store

__all__ = ["Info", "Series", "info", "load", "save"]

info = read_info


def save(
    path: str | os.PathLike[str],
    obj: Any,
    *,
    overwrite: bool = False,
    meta: Mapping[str, Any] | None = None,
    progress: Tell | bool | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Save a tree as a new folder at `path`. When this returns, it survives a loss of power.

    `obj` is made of dicts, lists and tuples; arrays of NumPy, CuPy, torch on the CPU, or anything symopt takes;
    Variables, as their arrays; RowSparseArrays; NumPy scalars, numbers of any size, strings, bytes, booleans, None;
    and objects with state_dict(), of which that is saved. An array that occurs twice is stored once, and loads as
    one. Other objects: DTypeError.

    Either all of it is at `path`, or nothing new: a save that fails or is killed leaves what was there.
    `overwrite` replaces a checkpoint, and nothing else, in the same way; without it FileExistsError. `meta`: a dict of
    numbers and strings that `info` reads without the arrays. `progress`: a function of bytes done and bytes in all, or
    True for lines on stderr if it takes seconds. A file has at most `shard_bytes` bytes of tensors, or one tensor.

    >>> import tempfile, numpy as np
    >>> folder = tempfile.mkdtemp()
    >>> save(f"{folder}/first", {"w": np.ones(3), "lr": 0.1}, meta={"epoch": 1})
    >>> info(f"{folder}/first").meta
    {'epoch': 1}
    """
    store(path, obj, overwrite=overwrite, meta=meta, progress=progress, shard_bytes=shard_bytes)


def load(
    path: str | os.PathLike[str],
    into: Any = None,
    *,
    strict: bool = True,
    verify: str = "full",
    mutable: bool = False,
    ctx: Context | str | None = None,
    progress: Tell | bool | None = None,
) -> Any:
    """The tree saved at `path`, with arrays mapped from its files: read-only, or with `mutable` copied where written.

    With `into`, a tree of the same structure, nothing is returned but what the two have not in common, a
    state.Differences: arrays are copied into those of `into`, wherever they lie, objects with `plan_load` or
    `load_state_dict` take their state, and numbers in dicts and lists are replaced. All is compared first, and a
    StateError lists every difference; nothing is changed then. strict=False loads what both have.

    `verify`: "full" reads every byte against its checksum; "sizes" only manifest and headers, and takes the tensors as
    they are. `ctx`: a device to copy all arrays to. `progress`: see `save`.
    FileNotFoundError; DamagedError for what is not as it was written; FormatError for what this version can't read.
    Nothing in a checkpoint is executed.

    >>> import tempfile, numpy as np
    >>> folder = tempfile.mkdtemp()
    >>> save(f"{folder}/first", {"w": np.ones(3), "lr": 0.1})
    >>> own = {"w": np.zeros(3), "lr": 0.0}
    >>> load(f"{folder}/first", into=own)
    Differences(missing=[], unexpected=[], different=[])
    >>> own
    {'w': array([1., 1., 1.]), 'lr': 0.1}
    """
    place = HOST if ctx is None else place_of(Context.as_context(ctx))
    if into is not None and (mutable or ctx is not None):
        raise AttributeValueError(
            "ctx and mutable are of arrays that load makes; with into, arrays are those given"
        )
    path = os.fspath(path)
    tree = fetch(path, verify=verify, mutable=mutable, place=place, progress=progress)
    return tree if into is None else load_into(into, tree, strict, f"into= of so.load({path!r})")
