"""What a checkpoint costs: 1 GB saved and loaded, beside the bare writes and reads of as many bytes on the same disk.

    python benchmarks/checkpoint.py [FOLDER]    where to write; the folder's disk needs 3 GB

Whoever saves makes new files and syncs them. Files are read once from the disk, for which the system is asked to forget
them before each turn, and once from the system's memory.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable

import numpy as np
from harness import OURS, Row, attended, machine, measure

import symopt as so

TENSORS, SIZE = 16, 1 << 24  # of float32: 64 MiB each
CHUNK = 1 << 22
SHARE = 0.8  # of the speed of bare writes and reads


def main() -> None:
    folder = tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None)
    rng = np.random.default_rng(0)
    tree = {f"w{k}": rng.random(SIZE, np.float32) for k in range(TENSORS)}
    print(f"{machine()}; {TENSORS * SIZE * 4 / 1e9:.2f} GB")
    try:
        for row in attended(job(tree, folder) for job in (_saving, _from_disk, _from_memory)):
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


def _loading(tree: dict[str, np.ndarray], folder: str, is_cold: bool) -> Row:
    path, raw = f"{folder}/saved", f"{folder}/raw"
    target = {name: np.zeros_like(array) for name, array in tree.items()}
    if not os.path.exists(path):
        so.save(path, tree)
    _write(tree, raw)
    work: dict[str, Callable[[], object]] = {
        OURS: lambda: so.load(path),
        "load, sizes only": lambda: so.load(path, verify="sizes"),
        "load, into arrays": lambda: so.load(path, into=target),
        "read into arrays": lambda: _read(raw, target),
    }
    if is_cold:
        files = [raw, *(f"{path}/{name}" for name in os.listdir(path))]
        work = {name: _forgotten(files, load) for name, load in work.items()}
    where = "from disk" if is_cold else "from memory"
    return Row(f"load, verified, {where}", measure(work, 7), {"read into arrays": SHARE} if is_cold else {})


def _from_disk(tree: dict[str, np.ndarray], folder: str) -> Row:
    return _loading(tree, folder, is_cold=True)


def _from_memory(tree: dict[str, np.ndarray], folder: str) -> Row:
    return _loading(tree, folder, is_cold=False)


def _forgotten(files: list[str], load: Callable[[], object]) -> Callable[[], object]:
    """With the files out of the system's memory."""

    def run() -> None:
        for name in files:
            file = os.open(name, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)
        load()

    return run


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


if __name__ == "__main__":
    main()
