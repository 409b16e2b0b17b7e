"""Rows on the host or on a device, with indices that are always the host's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends.choose import device_of
from ..backends.cuda.device import Argument, Source
from ..backends.cuda.geometry import PER_MULTIPROCESSOR
from ..codegen.cuda.layout import THREADS
from ..codegen.cuda.text import runs_text
from ..places import HOST, Place, from_host, place_of_array

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]


def beside(rows: Array, array: Array) -> Array:
    """An array of the host, or a copy of it where `rows` lie."""
    place = place_of_array(rows)
    if place is HOST or place_of_array(array) is not HOST:
        return array
    return from_host(place, np.ascontiguousarray(array))


def taken(rows: Array, which: npt.NDArray[Any]) -> Array:
    """rows[which], for positions (n,) or a condition of each row. DeviceMemoryError if there is no room."""
    place = place_of_array(rows)
    if place is HOST:
        found: Array = rows[which]
        return found
    positions = np.flatnonzero(which) if which.dtype == np.bool_ else which
    made = place.empty((len(positions), *rows.shape[1:]), rows.dtype)
    if made.size:
        there = from_host(place, np.ascontiguousarray(positions, np.int64))
        with place.current():
            place.xp.take(rows, there, axis=0, out=made)
    return made


def write(column: Array, at: Any, values: Array) -> None:
    """column[at] = values, for a slice or slots, each once; values are the host's, or lie beside the column."""
    place = place_of_array(column)
    if place is HOST:
        column[at] = values
    elif len(values):
        with place.current():
            there = at if isinstance(at, slice) else beside(column, at)
            column[there] = beside(column, values)


def shown(column: Array, at: Any) -> Array:
    """column[at], for a slice or slots, on the host: a view where it can be."""
    if place_of_array(column) is HOST:
        found: Array = column[at]
        return found
    return on_host(column[at] if isinstance(at, slice) else taken(column, at))


def joined_rows(parts: Sequence[Array], axis: int = 0) -> Array:
    """Arrays (n, width) of one place, one after the other or side by side. DeviceMemoryError if there is no room."""
    if len(parts) == 1:
        return parts[0]
    place = place_of_array(parts[0])
    if place is HOST:
        return np.concatenate(parts, axis=axis)
    lengths = list(parts[0].shape)
    lengths[axis] = sum(part.shape[axis] for part in parts)
    made = place.empty(lengths, parts[0].dtype)
    with place.current():
        place.xp.concatenate(parts, axis=axis, out=made)
    return made


def on_host(array: Array) -> Array:
    """The array, or a copy of it on the host."""
    place = place_of_array(array)
    return array if place is HOST else place.to_host(array)


def sum_runs(place: Place, starts: Ids, order: Ids, rows: Array) -> Array:
    """On a device, the sums (k, width) of rows[order[starts[j]:starts[j + 1]]], added in this order; `starts` (k + 1,).

    Rows are contiguous, float32 or float64. DeviceMemoryError if there is no room.
    """
    n, width = len(starts) - 1, rows.shape[1]
    sums = place.empty((n, width), rows.dtype)
    if not sums.size:
        return sums
    device = device_of(place)
    shift = min((width - 1).bit_length(), THREADS.bit_length() - 1)
    blocks = -(-n // (THREADS >> shift))
    with device.current():
        (code,) = device.load([Source(*runs_text())])
        told = device.zeros(len(starts) + len(order), np.int64)
        device.upload(told, np.concatenate([starts, order]))
        at = [device.address(x) for x in (told, told, rows, sums)]
        at[1] += starts.nbytes
        arguments: list[Argument] = [*map(np.uint64, at), np.int64(n), np.int64(width), np.int32(shift)]
        grid = min(blocks, device.multiprocessors * PER_MULTIPROCESSOR)
        device.launch(code[f"sum_runs_{rows.dtype.name}"], grid, arguments)
    return sums
