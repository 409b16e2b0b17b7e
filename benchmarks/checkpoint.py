"""What a checkpoint costs: 1 GB saved and loaded, beside the bare writes and reads of as many bytes on the same disk.

    python benchmarks/checkpoint.py [FOLDER]    where to write; the folder's disk needs 3 GB

Every contender makes files of its own and syncs them; files read are in the system's cache, which is the harder case:
from a disk, all wait for it alike.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable

import numpy as np
from harness import OURS, Row, foreign_work, machine, measure

import symopt as so

TENSORS, SIZE = 16, 1 << 24  # of float32: 64 MiB each
CHUNK = 1 << 22
SHARE = 0.8  # of the speed of bare writes and reads


def main() -> None:
    folder = tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None)
    rng = np.random.default_rng(0)
    tree = {f"w{k}": rng.random(SIZE, np.float32) for k in range(TENSORS)}
    print(f"{machine()}; {TENSORS * SIZE * 4 / 1e9:.2f} GB")
    total, others = foreign_work()
    try:
        for row in (_saving(tree, folder), _loading(tree, folder)):
            now_total, now_others = foreign_work()
            row.others = (now_others - others) / max(now_total - total, 1e-9)
            print("\n".join(row.lines()), flush=True)
    finally:
        shutil.rmtree(folder)


def _saving(tree: dict[str, np.ndarray], folder: str) -> Row:
    path, raw = f"{folder}/saved", f"{folder}/raw"
    work = {
        OURS: _alone(path, lambda: so.save(path, tree)),
        "write, fsync": _alone(raw, lambda: _write(tree, raw)),
    }
    return Row("save", measure(work, 7), {"write, fsync": SHARE})


def _loading(tree: dict[str, np.ndarray], folder: str) -> Row:
    path, raw = f"{folder}/saved", f"{folder}/raw"
    target = {name: np.zeros_like(array) for name, array in tree.items()}
    so.save(path, tree, overwrite=True)
    _write(tree, raw)
    buffer = bytearray(CHUNK)
    work = {
        OURS: lambda: so.load(path),
        "load, sizes only": lambda: so.load(path, verify="sizes"),
        "load, into arrays": lambda: so.load(path, into=target),
        "read into arrays": lambda: _read(raw, target),
        "read, bytes dropped": lambda: _read_only(raw, buffer),
    }
    return Row("load, verified", measure(work, 9), {"read into arrays": SHARE})


def _alone(path: str, save: Callable[[], None]) -> Callable[[], None]:
    """Saves where nothing is; what it leaves is removed before the next turn of any."""

    def run() -> None:
        for name in os.listdir(os.path.dirname(path)):
            old = os.path.join(os.path.dirname(path), name)
            shutil.rmtree(old) if os.path.isdir(old) else os.unlink(old)
        save()

    return run


def _write(tree: dict[str, np.ndarray], path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for array in tree.values():
        data = array.view(np.uint8).data
        for begin in range(0, len(data), CHUNK):
            os.write(file, data[begin : begin + CHUNK])
    os.fsync(file)
    os.close(file)


def _read(path: str, target: dict[str, np.ndarray]) -> None:
    with open(path, "rb", buffering=0) as file:
        for array in target.values():
            file.readinto(array.view(np.uint8).data)


def _read_only(path: str, buffer: bytearray) -> None:
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


if __name__ == "__main__":
    main()
