"""Loading: a checkpoint that was checked as a tree of arrays on its files' bytes."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import AttributeValueError
from ..places import HOST, Place, from_host
from .dtypes import numpy_dtype, size_of
from .folder import Opened, opened
from .manifest import MANIFEST, Manifest
from .progress import Progress, Tell
from .refusal import Refuse
from .untree import Decoder
from .verify import verify as verify_bytes

_SHOWN = 40  # tensors of an Info's text


@dataclass(frozen=True)
class Info:
    """What a checkpoint says of itself: `tensors` has (dtype, shape) by name, `files` the size of each in bytes."""

    symopt: str
    meta: dict[str, Any]
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    files: Mapping[str, int]

    def __str__(self) -> str:
        """A line for each of the first tensors, and what it is in all."""
        shown = list(self.tensors)[:_SHOWN]
        width = max(map(len, shown), default=0)
        lines = [f"  {name:{width}}  {self.tensors[name][0]:10} {self.tensors[name][1]}" for name in shown]
        more = [f"  and {len(self.tensors) - _SHOWN} more"] if len(self.tensors) > _SHOWN else []
        n_bytes, n_files = sum(self.files.values()), len(self.files)
        said = f"{len(self.tensors)} tensors, {n_bytes:,} bytes in {n_files} file{'s' * (n_files != 1)}"
        return "\n".join([f"{said}, by symopt {self.symopt}", *lines, *more])


def fetch(path: str, *, verify: str, mutable: bool, place: Place, progress: Tell | bool | None) -> Any:
    """The tree of the checkpoint at a path."""
    return fetch_with_meta(path, verify=verify, mutable=mutable, place=place, progress=progress)[0]


def fetch_with_meta(
    path: str, *, verify: str, mutable: bool, place: Place, progress: Tell | bool | None
) -> tuple[Any, dict[str, Any]]:
    """The tree of the checkpoint at a path, and what was given as `meta`."""
    if verify not in ("full", "sizes"):
        raise AttributeValueError(f"verify must be 'full' or 'sizes', got {verify!r}")
    with opened(path) as found:
        if verify == "full":
            total = sum(size_of(t.dtype, t.shape) for t in found.manifest.tensors.values())
            verify_bytes(path, found, Progress(progress, total, f"loading {path}"))
        arrays = _map_arrays(found, mutable)
    if place is not HOST:
        arrays = {name: from_host(place, array) for name, array in arrays.items()}
    refuse = Refuse(os.path.join(path, MANIFEST))
    decoder = Decoder(arrays, refuse)
    tree = decoder.decode(found.manifest.tree)
    if unused := set(arrays) - decoder.used:
        refuse(f"nothing in the tree is the tensor {min(unused)[:200]!r}")
    return tree, _meta(found.manifest, refuse)


def read_info(path: str | os.PathLike[str]) -> Info:
    """What the checkpoint at a path says of itself. Reads no tensor; checks manifest, headers and sizes.

    Errors are those of `load`.
    """
    path = os.fspath(path)
    with opened(path) as found:
        manifest = found.manifest
    refuse = Refuse(os.path.join(path, MANIFEST))
    meta = _meta(manifest, refuse)
    tensors = {name: (t.dtype, t.shape) for name, t in manifest.tensors.items()}
    return Info(manifest.symopt, meta, tensors, {name: f.size for name, f in manifest.files.items()})


def _meta(manifest: Manifest, refuse: Refuse) -> dict[str, Any]:
    meta = Decoder({}, refuse).decode(manifest.meta)
    if not isinstance(meta, dict):
        refuse("its meta is no dict")
    return meta


def _map_arrays(found: Opened, mutable: bool) -> dict[str, Array]:
    """Every tensor as an array on the memory of its file, which stays mapped while one of them lives."""
    arrays = {}
    for part in found.parts:
        access = mmap.ACCESS_COPY if mutable else mmap.ACCESS_READ
        memory = mmap.mmap(part.file, 0, access=access)
        for name, begin in part.begins.items():
            arrays[name] = _array(memory, begin, found.manifest, name)
    return {name: arrays[name] for name in found.manifest.tensors}


def _array(memory: mmap.mmap, begin: int, manifest: Manifest, name: str) -> Array:
    tensor = manifest.tensors[name]
    dtype = numpy_dtype(tensor.dtype)
    count = size_of(tensor.dtype, tensor.shape) // dtype.itemsize
    if not count:
        return np.empty(tensor.shape, dtype)
    array = np.frombuffer(memory, dtype, count, begin).reshape(tensor.shape)
    return array if array.flags.aligned else array.copy()
