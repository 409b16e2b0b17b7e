"""Files of MXNet's beside what MXNet itself finds in them: `tests/conformance/inside/mxnet_files.py` tells it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import symopt as so
from symopt.dtypes import to_numpy
from symopt.mxnetfiles import ObjectRecord, UpdaterStates, load_updater_states, save_updater_states

Arrays = Mapping[str, Any]


def read(path: Path) -> Any:
    """What symopt finds in a file."""
    return so.nd.load(path) if path.suffix == ".params" else load_updater_states(path)


def write(path: Path, value: Any, np_shape: bool | None = None) -> None:
    """Write what `read` found."""
    if isinstance(value, UpdaterStates):
        save_updater_states(path, *value, np_shape=np_shape)
    else:
        so.nd.save(path, value, np_shape=np_shape)


def told_in(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """By file what MXNet told of it, and its arrays."""
    with np.load(folder / "told.npz") as arrays:
        return json.loads((folder / "told.json").read_text())["files"], dict(arrays)


def differences(ours: Any, told: Any, arrays: Arrays, path: str) -> Iterator[str]:
    """Where what symopt found differs from what MXNet told, in kind, order or any bit."""
    kind, content = next(iter(told.items())) if isinstance(told, dict) else ("value", told)
    if isinstance(ours, UpdaterStates):
        ours = ours.states if ours.optimizer is None else tuple(ours)
    if kind == "value":
        if type(ours) is not type(content) or ours != content:
            yield f"{path}: {ours!r} here, {content!r} there"
    elif kind in ("list", "tuple"):
        yield from _all(ours, content, arrays, path, list if kind == "list" else tuple)
    elif kind == "dict":
        if not isinstance(ours, dict) or list(ours) != [key for key, _ in content]:
            yield f"{path}: {ours!r} here, {content!r} there"
            return
        for key, there in content:
            yield from differences(ours[key], there, arrays, f"{path}/{key}")
    elif kind == "record":
        if not isinstance(ours, ObjectRecord) or [ours.module, ours.name] != content[:2]:
            yield f"{path}: {ours!r} here, {content[:2]} there"
            return
        yield from differences(ours.attributes, content[2], arrays, path)
    else:
        yield from _array(ours, kind, content, arrays, path)


def _all(ours: Any, content: Any, arrays: Arrays, path: str, kind: Any) -> Iterator[str]:
    if type(ours) is not kind or len(ours) != len(content):  # exactly: a list is no tuple
        yield f"{path}: {ours!r} here, {content!r} there"
        return
    for k, there in enumerate(content):
        yield from differences(ours[k], there, arrays, f"{path}/{k}")


def _array(ours: Any, kind: str, content: Any, arrays: Arrays, path: str) -> Iterator[str]:
    if kind == "row_sparse":
        key, shape = content
        if not isinstance(ours, so.sparse.RowSparseArray) or ours.shape != tuple(shape):
            yield f"{path}: {ours!r} here, row_sparse of shape {shape} there"
            return
        pairs = [(ours.data, arrays[f"{key}.data"]), (ours.indices, arrays[f"{key}.indices"])]
    else:
        there = arrays[content]
        pairs = [(ours, there.view(to_numpy("bfloat16")) if kind == "bfloat16" else there)]
    for here, there in pairs:
        if not isinstance(here, np.ndarray) or (here.dtype, here.shape) != (there.dtype, there.shape):
            yield f"{path}: {here!r} here, {there!r} there"
        elif here.tobytes() != there.tobytes():
            yield f"{path}: other elements, {here!r} here, {there!r} there"
